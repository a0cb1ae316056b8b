"""Actions of OCPP 1.6 (with its security extension), 2.0.1 and 2.1: what they do to a charge point."""

from __future__ import annotations

_READ = (
    "Authorize MeterValues StartTransaction StopTransaction TransactionEvent DataTransfer CustomerInformation"
    " ClearedChargingLimit ReportChargingProfiles ReportDERControl PullDynamicScheduleUpdate BatterySwap"
    " VatNumberValidation"
)
_DIAGNOSTIC = (
    "BootNotification Heartbeat StatusNotification SecurityEventNotification SignCertificate ReservationStatusUpdate"
    " OpenPeriodicEventStream ClosePeriodicEventStream"
)
_WRITE = (
    "ChangeConfiguration SendLocalList SetVariables SetVariableMonitoring ClearVariableMonitoring SetMonitoringBase"
    " SetMonitoringLevel SetDisplayMessage ClearDisplayMessage CostUpdated SetDefaultTariff ChangeTransactionTariff"
    " ClearTariffs AdjustPeriodicEventStream"
)
_CONTROL = (
    "RemoteStartTransaction RemoteStopTransaction RequestStartTransaction RequestStopTransaction Reset UnlockConnector"
    " ChangeAvailability ReserveNow CancelReservation TriggerMessage ExtendedTriggerMessage SetChargingProfile"
    " ClearChargingProfile ClearCache SetDERControl ClearDERControl UsePriorityCharging UpdateDynamicSchedule"
    " RequestBatterySwap AFRRSignal"
)
_PROGRAM = (
    "UpdateFirmware SignedUpdateFirmware PublishFirmware UnpublishFirmware InstallCertificate DeleteCertificate"
    " CertificateSigned SetNetworkProfile"
)
_CLASSES = {
    name: kind
    for kind, names in (
        ("read", _READ),
        ("diagnostic", _DIAGNOSTIC),
        ("write", _WRITE),
        ("control", _CONTROL),
        ("program", _PROGRAM),
    )
    for name in names.split()
}
_OLD_WORDS = (
    "ChangeConfiguration GetConfiguration GetDiagnostics DiagnosticsStatusNotification RemoteStartTransaction"
    " RemoteStopTransaction StartTransaction StopTransaction ExtendedTriggerMessage SignedUpdateFirmware"
    " SignedFirmwareStatusNotification"
)
_OLD = frozenset(_OLD_WORDS.split())
_NEW_WORDS = (
    "SetVariables GetVariables GetBaseReport GetReport NotifyReport TransactionEvent RequestStartTransaction"
    " RequestStopTransaction SetNetworkProfile PublishFirmware UnpublishFirmware GetTransactionStatus CostUpdated"
    " CustomerInformation NotifyEvent SetVariableMonitoring ClearVariableMonitoring SetMonitoringBase"
    " SetMonitoringLevel SetDisplayMessage ClearDisplayMessage GetChargingProfiles ReportChargingProfiles"
)
_NEW = frozenset(_NEW_WORDS.split())
_NEWEST_WORDS = (
    "SetDERControl GetDERControl ClearDERControl ReportDERControl UsePriorityCharging UpdateDynamicSchedule"
    " PullDynamicScheduleUpdate RequestBatterySwap BatterySwap SetDefaultTariff GetTariffs ClearTariffs AFRRSignal"
    " ChangeTransactionTariff OpenPeriodicEventStream ClosePeriodicEventStream AdjustPeriodicEventStream"
    " GetPeriodicEventStream NotifyPeriodicEventStream NotifyDERAlarm NotifyDERStartStop NotifySettlement"
    " NotifyPriorityCharging NotifyWebPaymentStarted NotifyAllowedEnergyTransfer VatNumberValidation"
)
_NEWEST = frozenset(_NEWEST_WORDS.split())
_REFUSALS = (
    "Rejected Failed NotSupported NotImplemented UnlockFailed Unauthorized UnknownVariable UnknownComponent Invalid"
    " InvalidURL InvalidCertificate NotAllowed"
)
REFUSALS = frozenset(_REFUSALS.split())
"""``status`` of an answer that refuses."""


def kind(action: str) -> str | None:
    """The class of an action; of one that no edition has by how it begins, None where that tells nothing."""
    known = _CLASSES.get(action)
    if known:
        return known
    if action.endswith("StatusNotification"):
        return "diagnostic"
    if action.startswith(("Get", "Notify")):
        return "read"
    return None


def edition(action: str) -> str | None:
    """The edition that alone has an action; None where several do."""
    if action in _OLD:
        return "1.6"
    return "2.1" if action in _NEWEST else "2.0.1" if action in _NEW else None


def known(action: str) -> bool:
    """Whether an edition has the action, or one might."""
    return kind(action) is not None
