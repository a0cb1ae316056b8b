"""Names of OPC UA services, attributes and status codes (OPC 10000-4, 10000-6 annex A)."""

from __future__ import annotations

_SERVICES: tuple[tuple[int, int, str, str | None], ...] = (
    (422, 425, "FindServers", "diagnostic"),
    (12208, 12209, "FindServersOnNetwork", "diagnostic"),
    (428, 431, "GetEndpoints", "diagnostic"),
    (437, 440, "RegisterServer", None),
    (12211, 12212, "RegisterServer2", None),
    (446, 449, "OpenSecureChannel", None),
    (452, 455, "CloseSecureChannel", None),
    (461, 464, "CreateSession", None),
    (467, 470, "ActivateSession", None),
    (473, 476, "CloseSession", None),
    (479, 482, "Cancel", None),
    (488, 491, "AddNodes", "program"),
    (494, 497, "AddReferences", "program"),
    (500, 503, "DeleteNodes", "program"),
    (506, 509, "DeleteReferences", "program"),
    (527, 530, "Browse", "read"),
    (533, 536, "BrowseNext", "read"),
    (554, 557, "TranslateBrowsePathsToNodeIds", "read"),
    (560, 563, "RegisterNodes", "read"),
    (566, 569, "UnregisterNodes", "read"),
    (615, 618, "QueryFirst", "read"),
    (621, 624, "QueryNext", "read"),
    (631, 634, "Read", "read"),
    (664, 667, "HistoryRead", "read"),
    (673, 676, "Write", "write"),
    (700, 703, "HistoryUpdate", "write"),
    (712, 715, "Call", "control"),
    (751, 754, "CreateMonitoredItems", "read"),
    (763, 766, "ModifyMonitoredItems", "read"),
    (769, 772, "SetMonitoringMode", "read"),
    (775, 778, "SetTriggering", "read"),
    (781, 784, "DeleteMonitoredItems", "read"),
    (787, 790, "CreateSubscription", "read"),
    (793, 796, "ModifySubscription", "read"),
    (799, 802, "SetPublishingMode", "read"),
    (826, 829, "Publish", None),
    (832, 835, "Republish", None),
    (841, 844, "TransferSubscriptions", "read"),
    (847, 850, "DeleteSubscriptions", "read"),
)
FAULT = 397
SERVICES: dict[int, tuple[str, str | None, bool]] = {FAULT: ("ServiceFault", "error", False)}
"""Type id of a message's binary encoding -> name, class, whether it is a request."""
for _ask, _answer, _name, _kind in _SERVICES:
    SERVICES[_ask] = (f"{_name}Request", _kind, True)
    SERVICES[_answer] = (f"{_name}Response", _kind, False)

ATTRIBUTES = (
    "",
    "NodeId",
    "NodeClass",
    "BrowseName",
    "DisplayName",
    "Description",
    "WriteMask",
    "UserWriteMask",
    "IsAbstract",
    "Symmetric",
    "InverseName",
    "ContainsNoLoops",
    "EventNotifier",
    "Value",
    "DataType",
    "ValueRank",
    "ArrayDimensions",
    "AccessLevel",
    "UserAccessLevel",
    "MinimumSamplingInterval",
    "Historizing",
    "Executable",
    "UserExecutable",
    "DataTypeDefinition",
    "RolePermissions",
    "UserRolePermissions",
    "AccessRestrictions",
    "AccessLevelEx",
)
MODES = {1: "None", 2: "Sign", 3: "SignAndEncrypt"}
TOKENS = {321: "Anonymous", 324: "UserName", 327: "X509", 940: "IssuedToken"}
"""Type id of an identity token's binary encoding -> its kind."""
TOKEN_TYPES = ("Anonymous", "UserName", "Certificate", "IssuedToken")
DIRECTIONS = ("Forward", "Inverse", "Both")

_STATUSES = {
    0x8001: "UnexpectedError InternalError OutOfMemory ResourceUnavailable CommunicationError EncodingError "
    "DecodingError EncodingLimitsExceeded UnknownResponse Timeout ServiceUnsupported Shutdown ServerNotConnected "
    "ServerHalted NothingToDo TooManyOperations DataTypeIdUnknown CertificateInvalid SecurityChecksFailed "
    "CertificateTimeInvalid CertificateIssuerTimeInvalid CertificateHostNameInvalid CertificateUriInvalid "
    "CertificateUseNotAllowed CertificateIssuerUseNotAllowed CertificateUntrusted CertificateRevocationUnknown "
    "CertificateIssuerRevocationUnknown CertificateRevoked CertificateIssuerRevoked UserAccessDenied "
    "IdentityTokenInvalid IdentityTokenRejected SecureChannelIdInvalid InvalidTimestamp NonceInvalid SessionIdInvalid "
    "SessionClosed SessionNotActivated SubscriptionIdInvalid",
    0x802A: "RequestHeaderInvalid TimestampsToReturnInvalid RequestCancelledByClient",
    0x8031: "NoCommunication WaitingForInitialData NodeIdInvalid NodeIdUnknown AttributeIdInvalid IndexRangeInvalid "
    "IndexRangeNoData DataEncodingInvalid DataEncodingUnsupported NotReadable NotWritable OutOfRange NotSupported "
    "NotFound ObjectDeleted NotImplemented MonitoringModeInvalid MonitoredItemIdInvalid MonitoredItemFilterInvalid "
    "MonitoredItemFilterUnsupported FilterNotAllowed StructureMissing EventFilterInvalid ContentFilterInvalid "
    "FilterOperandInvalid ContinuationPointInvalid NoContinuationPoints ReferenceTypeIdInvalid BrowseDirectionInvalid "
    "NodeNotInView ServerUriInvalid ServerNameMissing DiscoveryUrlMissing SempahoreFileMissing RequestTypeInvalid "
    "SecurityModeRejected SecurityPolicyRejected TooManySessions UserSignatureInvalid ApplicationSignatureInvalid "
    "NoValidCertificates IdentityChangeNotSupported RequestCancelledByRequest ParentNodeIdInvalid "
    "ReferenceNotAllowed NodeIdRejected NodeIdExists NodeClassInvalid BrowseNameInvalid BrowseNameDuplicated "
    "NodeAttributesInvalid TypeDefinitionInvalid SourceNodeIdInvalid TargetNodeIdInvalid DuplicateReferenceNotAllowed "
    "InvalidSelfReference ReferenceLocalOnly NoDeleteRights",
    0x8073: "WriteNotSupported TypeMismatch MethodInvalid ArgumentsMissing TooManySubscriptions "
    "TooManyPublishRequests NoSubscription SequenceNumberUnknown MessageNotAvailable "
    "InsufficientClientProfile TcpServerTooBusy TcpMessageTypeInvalid TcpSecureChannelUnknown TcpMessageTooLarge "
    "TcpNotEnoughResources TcpInternalError TcpEndpointUrlInvalid RequestInterrupted RequestTimeout "
    "SecureChannelClosed SecureChannelTokenUnknown SequenceNumberInvalid",
    0x80AB: "InvalidArgument ConnectionRejected Disconnect ConnectionClosed InvalidState EndOfStream",
    0x80BE: "ProtocolVersionUnsupported",
}
STATUSES = {first + at: f"Bad{name}" for first, text in _STATUSES.items() for at, name in enumerate(text.split())} | {
    0x0000: "Good"
}
"""Upper half of a status code -> its name."""


def status(code: int) -> str:
    """The name of a status code, else its number."""
    return STATUSES.get(code >> 16) or f"0x{code:08X}"


def attribute(number: int) -> str:
    return ATTRIBUTES[number] if 0 < number < len(ATTRIBUTES) else str(number)
