"""Words of Sigma that are commonly known: fields, log sources, tactics; what the linter measures a rule by."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass, replace

from cityguard.columns import BY_NAME
from cityguard.decoders import app, ot
from cityguard.sigma.fields import BOOKKEEPING, COLUMN


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FIELDS = _words("""
    AccessList AccessMask AccountName Action AdditionalInfo Address AllowedToDelegateTo AppID AppName AppVersion
    Application ApplicationPath AttributeLDAPDisplayName AttributeValue AuditPolicyChanges AuditSourceName
    AuthenticationPackageName Binary CallTrace CallerProcessName CallingProcess Caption CertThumbprint Channel
    ClassName ClientProcessId Company Configuration Contents ContextInfo CreationUtcTime Data Description
    Destination DestinationHostname DestinationIsIpv6 Device DeviceDescription DeviceName DistinguishedName
    ErrorCode EventLog EventType ExceptionCode Feature_Name FileNameBuffer FileVersion Filename FilterName
    FilterOrigin Flags GrandParentImage GrantedAccess HasFullTrust Hash Hashes HiveName ImageLoaded ImageName
    ImagePath ImpersonationLevel Initiated IntegrityLevel InterfaceUuid IsatapRouter KeyLength Keywords
    LayerRTID Level LocalName LogonGuid LogonId LogonProcessName LogonType Message ModifyingApplication
    ModuleName Name NewName NewTargetUserName NewTemplateContent NewUacValue NewValue ObjectClass ObjectDN
    ObjectName ObjectServer ObjectType ObjectValueName OldTargetUserName OldUacValue OldValue OpNum Operation
    Origin OriginalFileName PackageFullName PackagePath PackageSourceUri ParentProcessGuid ParentProcessId
    ParentUser Path Payload PipeName PossibleCause PreAuthType PreviousCreationUtcTime PrivilegeList ProcessGuid
    ProcessId ProcessName ProcessNameBuffer ProcessPath Product Properties Provider ProviderContextName Query
    Reason RelativeTargetName RemoteAddress RemoteName RequestedPolicy SYSCALL SamAccountName ScriptBlockText
    SearchFilter ServerAddress ServerName Service ServiceFileName ServiceName ServicePrincipalNames
    ServiceStartType ServiceType ShareLocalPath ShareName SidHistory SidList Signature SignatureStatus Signed
    SigningUsed SourceCommandLine SourceFilename SourceHostname SourceImage SourceIsIpv6 SourceParentImage
    SourceUser StartAddress StartFunction StartModule State Status SubStatus SubcategoryGuid SubjectDomainName
    SubjectLogonId SubjectUserSid TargetImage TargetInfo TargetLogonId TargetName TargetOutboundUserName
    TargetParentProcessId TargetServerName TargetSid TargetUserSid TaskContent TaskContentNew TaskName
    TemplateContent TerminalSessionId ThreatName TicketEncryptionType TicketOptions Type UserName UtcTime Value
    Workstation WorkstationName a0 a1 a2 a3 a4 a5 a6 a7 blocked c-uri-extension c-uri-stem c-win32-status
    certificate.serial cfgpath cipher client_header_names comm cs-content-type cs-cookie cs-version date
    dns.answers.class dns.header.flags dns.response.code endpoint euid event_type imphash key md5 name nametype
    network.history network.state network.type operation param1 param2 param3 path payload process processPath
    reason rejected request_body_len request_type resp_mime_types s-computername s-sitename service sha1 sha256
    subjectName time time-taken type unit uri
""")
"""Field names of the taxonomy of specification 2.1 and those that public rules commonly use."""

CATEGORIES = _words("""
    antivirus appliance application asset authentication clipboard_capture create_remote_thread
    create_stream_hash database dns dns_query driver_load file_access file_block_executable file_block_shredding
    file_change file_delete file_delete_detected file_event file_executable_detected file_rename firewall ids
    image_load network network_connection ot_command ot_state pipe_created process_access process_creation
    process_tampering process_termination proxy ps_classic_provider_start ps_classic_script ps_classic_start
    ps_module ps_script raw_access_thread registry_add registry_delete registry_event registry_rename
    registry_set sysmon_error sysmon_status web webserver wmi_event
""")
"""``category`` of a log source: taxonomy of specification 2.1, public rules, and ours."""

PRODUCTS = _words("""
    antivirus apache aws azure bacnet bitbucket cip cisco django dnp3 enip fins fortigate fortios gcp github
    goose hart-ip huawei iec104 juniper jvm knx kubernetes linux m365 macos melsec mms modbus modsecurity nodejs
    okta onelogin opcua opencanary paloalto profinet python qualys rpc_firewall ruby_on_rails s7comm s7comm-plus
    spring sql velocity windows zeek
""")
"""``product`` of a log source."""

SERVICES = _words("""
    aaa access activitylogs apache application application-experience applocker appmodel-runtime
    appxdeployment-server appxpackaging-om audit auditd auditlogs auth bgp bitlocker bits-client capi2
    certificateservicesclient-lifecycle-system clamav cloudtrail codeintegrity-operational connection cron
    dce_rpc dhcp diagnosis-scripted dns dns-client dns-server dns-server-analytic dns-server-audit
    driver-framework duo error event exchange firewall-as ftp gcp.audit globalprotect google_workspace.admin
    google_workspace.login guacamole http hyper-v-worker iis-configuration ike kerberos kernel-event-tracing
    kernel-shimengine ldap ldp lsa-server microsoft-servicebus-client msexchange-management netflow nginx ntfs
    ntlm ntp okta onelogin.events openssh pim powershell powershell-classic printservice-admin
    printservice-operational radius rdp riskdetection security security-mitigations sense servicebus-client
    shell-core signinlogs sip smb smb_files smbclient-connectivity smbclient-security smbserver-connectivity
    smtp snmp ssh sshd sslvpnd sudo syslog sysmon system taskscheduler terminalservices-localsessionmanager
    threat_detection threat_management tls vhdmp vsftpd windefend wmi x509
""")
"""``service`` of a log source."""

FREE = _words("""
    aws azure bitbucket gcp github kubernetes m365 okta onelogin opencanary qualys
""")
"""Products whose events are nested documents: any path may be a field."""

TACTICS = _words("""
    initial-access execution persistence privilege-escalation defense-evasion credential-access discovery
    lateral-movement collection exfiltration command-and-control impact reconnaissance resource-development
    stealth defense-impairment evasion inhibit-response-function impair-process-control
""")
"""ATT&CK for Enterprise and for ICS."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What is known here; a city adds the columns and log sources of its own collectors."""

    fields: frozenset[str] = FIELDS.union(BY_NAME, COLUMN, BOOKKEEPING)
    categories: frozenset[str] = CATEGORIES
    products: frozenset[str] = PRODUCTS
    services: frozenset[str] = SERVICES
    free: frozenset[str] = FREE
    wire: frozenset[str] = frozenset()  # protocols read from captures, which bring names of their own

    def knows(self, name: str, protocols: tuple[str | None, ...]) -> bool:
        """True for a field's name that means something here, in events of these protocols."""
        if name.replace(" ", "") in self.fields:
            return True
        return name.partition(".")[0] not in _ROOTS and any(one is not None and self.reads(one) for one in protocols)

    def reads(self, protocol: str) -> bool:
        """True for a protocol, or a part of one, that is read from captures."""
        return protocol in self.wire or protocol.partition("_")[0] in self.wire


_ROOTS = frozenset(name.partition(".")[0] for name in BY_NAME)


def on_the_wire(base: Vocabulary) -> Vocabulary:
    """The same with the protocols that are read from captures."""
    names = {module.name for room in (app, ot) for module in pkgutil.iter_modules(room.__path__)}
    return replace(base, wire=base.wire.union(names, (name.replace("_", "-") for name in names)))
