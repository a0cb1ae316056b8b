"""Names and kinds of information elements: the IANA IPFIX registry, and vendors' elements where they are public.

Kinds: u unsigned, i signed, f float, b boolean, a address, m MAC, s text, o octets, l structured data (RFC 6313),
t seconds, tm milliseconds, tn NTP time stamp (micro- and nanoseconds, RFC 7011, 6.1.9 and 6.1.10).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

REVERSE = 29305
"""Enterprise number that turns an IANA element around (RFC 5103)."""


class Element(NamedTuple):
    """What a field means."""

    name: str
    kind: str
    known: bool = True


def _read(text: str) -> dict[int, Element]:
    found = {}
    for word in text.split():
        key, name = word.split(":")
        number = key.rstrip("abfilmnostu")
        found[int(number)] = Element(name, key[len(number) :])
    return found


SECRET = frozenset({(5951, 131), (5951, 185), (5951, 188), (5951, 189)})
"""Elements (enterprise, number) whose octets are not kept: NetScaler's cookies and Authorization."""


@lru_cache(maxsize=8192)
def element(version: int, enterprise: int, number: int) -> Element:
    """What an element is called; octets under a made-up name where nobody told.

    Args:
        version: of the export protocol; NetFlow v9 has no enterprises, so vendors took numbers above the registry's.
        enterprise: 0 = IANA.
        number: of the element, without the enterprise bit.
    """
    if enterprise == 0:
        found = IANA.get(number) or (_NINE.get(number) if version == 9 else None)
        return found or Element(f"element.{number}", "o", known=False)
    if enterprise == REVERSE and number in IANA:
        name, kind, _ = IANA[number]
        return Element(f"reverse{name[0].upper()}{name[1:]}", kind)
    return _VENDORS.get(enterprise, {}).get(number) or Element(f"element.{enterprise}.{number}", "o", known=False)


IANA = _read(
    """
1u:octetDeltaCount 2u:packetDeltaCount 3u:deltaFlowCount 4u:protocolIdentifier 5u:ipClassOfService 6u:tcpControlBits
7u:sourceTransportPort 8a:sourceIPv4Address 9u:sourceIPv4PrefixLength 10u:ingressInterface
11u:destinationTransportPort 12a:destinationIPv4Address 13u:destinationIPv4PrefixLength 14u:egressInterface
15a:ipNextHopIPv4Address 16u:bgpSourceAsNumber 17u:bgpDestinationAsNumber 18a:bgpNextHopIPv4Address
19u:postMCastPacketDeltaCount 20u:postMCastOctetDeltaCount 21u:flowEndSysUpTime 22u:flowStartSysUpTime
23u:postOctetDeltaCount 24u:postPacketDeltaCount 25u:minimumIpTotalLength 26u:maximumIpTotalLength
27a:sourceIPv6Address 28a:destinationIPv6Address 29u:sourceIPv6PrefixLength 30u:destinationIPv6PrefixLength
31u:flowLabelIPv6 32u:icmpTypeCodeIPv4 33u:igmpType 34u:samplingInterval 35u:samplingAlgorithm 36u:flowActiveTimeout
37u:flowIdleTimeout 38u:engineType 39u:engineId 40u:exportedOctetTotalCount 41u:exportedMessageTotalCount
42u:exportedFlowRecordTotalCount 43a:ipv4RouterSc 44a:sourceIPv4Prefix 45a:destinationIPv4Prefix
46u:mplsTopLabelType 47a:mplsTopLabelIPv4Address 48u:samplerId 49u:samplerMode 50u:samplerRandomInterval 51u:classId
52u:minimumTTL 53u:maximumTTL 54u:fragmentIdentification 55u:postIpClassOfService 56m:sourceMacAddress
57m:postDestinationMacAddress 58u:vlanId 59u:postVlanId 60u:ipVersion 61u:flowDirection 62a:ipNextHopIPv6Address
63a:bgpNextHopIPv6Address 64u:ipv6ExtensionHeaders 70o:mplsTopLabelStackSection 71o:mplsLabelStackSection2
72o:mplsLabelStackSection3 73o:mplsLabelStackSection4 74o:mplsLabelStackSection5 75o:mplsLabelStackSection6
76o:mplsLabelStackSection7 77o:mplsLabelStackSection8 78o:mplsLabelStackSection9 79o:mplsLabelStackSection10
80m:destinationMacAddress 81m:postSourceMacAddress 82s:interfaceName 83s:interfaceDescription 84s:samplerName
85u:octetTotalCount 86u:packetTotalCount 87u:flagsAndSamplerId 88u:fragmentOffset 89u:forwardingStatus
90o:mplsVpnRouteDistinguisher 91u:mplsTopLabelPrefixLength 92u:srcTrafficIndex 93u:dstTrafficIndex
94s:applicationDescription 95o:applicationId 96s:applicationName 98u:postIpDiffServCodePoint
99u:multicastReplicationFactor 100s:className 101u:classificationEngineId 102u:layer2packetSectionOffset
103u:layer2packetSectionSize 104o:layer2packetSectionData 128u:bgpNextAdjacentAsNumber 129u:bgpPrevAdjacentAsNumber
130a:exporterIPv4Address 131a:exporterIPv6Address 132u:droppedOctetDeltaCount 133u:droppedPacketDeltaCount
134u:droppedOctetTotalCount 135u:droppedPacketTotalCount 136u:flowEndReason 137u:commonPropertiesId
138u:observationPointId 139u:icmpTypeCodeIPv6 140a:mplsTopLabelIPv6Address 141u:lineCardId 142u:portId
143u:meteringProcessId 144u:exportingProcessId 145u:templateId 146u:wlanChannelId 147s:wlanSSID 148u:flowId
149u:observationDomainId 150t:flowStartSeconds 151t:flowEndSeconds 152tm:flowStartMilliseconds
153tm:flowEndMilliseconds 154tn:flowStartMicroseconds 155tn:flowEndMicroseconds 156tn:flowStartNanoseconds
157tn:flowEndNanoseconds 158u:flowStartDeltaMicroseconds 159u:flowEndDeltaMicroseconds
160tm:systemInitTimeMilliseconds 161u:flowDurationMilliseconds 162u:flowDurationMicroseconds
163u:observedFlowTotalCount 164u:ignoredPacketTotalCount 165u:ignoredOctetTotalCount 166u:notSentFlowTotalCount
167u:notSentPacketTotalCount 168u:notSentOctetTotalCount 169a:destinationIPv6Prefix 170a:sourceIPv6Prefix
171u:postOctetTotalCount 172u:postPacketTotalCount 173u:flowKeyIndicator 174u:postMCastPacketTotalCount
175u:postMCastOctetTotalCount 176u:icmpTypeIPv4 177u:icmpCodeIPv4 178u:icmpTypeIPv6 179u:icmpCodeIPv6
180u:udpSourcePort 181u:udpDestinationPort 182u:tcpSourcePort 183u:tcpDestinationPort 184u:tcpSequenceNumber
185u:tcpAcknowledgementNumber 186u:tcpWindowSize 187u:tcpUrgentPointer 188u:tcpHeaderLength 189u:ipHeaderLength
190u:totalLengthIPv4 191u:payloadLengthIPv6 192u:ipTTL 193u:nextHeaderIPv6 194u:mplsPayloadLength
195u:ipDiffServCodePoint 196u:ipPrecedence 197u:fragmentFlags 198u:octetDeltaSumOfSquares
199u:octetTotalSumOfSquares 200u:mplsTopLabelTTL 201u:mplsLabelStackLength 202u:mplsLabelStackDepth
203u:mplsTopLabelExp 204u:ipPayloadLength 205u:udpMessageLength 206u:isMulticast 207u:ipv4IHL 208u:ipv4Options
209u:tcpOptions 210o:paddingOctets 211a:collectorIPv4Address 212a:collectorIPv6Address 213u:exportInterface
214u:exportProtocolVersion 215u:exportTransportProtocol 216u:collectorTransportPort 217u:exporterTransportPort
218u:tcpSynTotalCount 219u:tcpFinTotalCount 220u:tcpRstTotalCount 221u:tcpPshTotalCount 222u:tcpAckTotalCount
223u:tcpUrgTotalCount 224u:ipTotalLength 225a:postNATSourceIPv4Address 226a:postNATDestinationIPv4Address
227u:postNAPTSourceTransportPort 228u:postNAPTDestinationTransportPort 229u:natOriginatingAddressRealm 230u:natEvent
231u:initiatorOctets 232u:responderOctets 233u:firewallEvent 234u:ingressVRFID 235u:egressVRFID 236s:VRFname
237u:postMplsTopLabelExp 238u:tcpWindowScale 239u:biflowDirection 240u:ethernetHeaderLength
241u:ethernetPayloadLength 242u:ethernetTotalLength 243u:dot1qVlanId 244u:dot1qPriority 245u:dot1qCustomerVlanId
246u:dot1qCustomerPriority 247s:metroEvcId 248u:metroEvcType 249u:pseudoWireId 250u:pseudoWireType
251u:pseudoWireControlWord 252u:ingressPhysicalInterface 253u:egressPhysicalInterface 254u:postDot1qVlanId
255u:postDot1qCustomerVlanId 256u:ethernetType 257u:postIpPrecedence 258tm:collectionTimeMilliseconds
259u:exportSctpStreamId 260t:maxExportSeconds 261t:maxFlowEndSeconds 262o:messageMD5Checksum 263u:messageScope
264t:minExportSeconds 265t:minFlowStartSeconds 266o:opaqueOctets 267u:sessionScope 268tn:maxFlowEndMicroseconds
269tm:maxFlowEndMilliseconds 270tn:maxFlowEndNanoseconds 271tn:minFlowStartMicroseconds
272tm:minFlowStartMilliseconds 273tn:minFlowStartNanoseconds 274o:collectorCertificate 275o:exporterCertificate
276b:dataRecordsReliability 277u:observationPointType 278u:newConnectionDeltaCount 279u:connectionSumDurationSeconds
280u:connectionTransactionId 281a:postNATSourceIPv6Address 282a:postNATDestinationIPv6Address 283u:natPoolId
284s:natPoolName 285u:anonymizationFlags 286u:anonymizationTechnique 287u:informationElementIndex 288s:p2pTechnology
289s:tunnelTechnology 290s:encryptedTechnology 291l:basicList 292l:subTemplateList 293l:subTemplateMultiList
294u:bgpValidityState 295u:IPSecSPI 296u:greKey 297u:natType 298u:initiatorPackets 299u:responderPackets
300s:observationDomainName 301u:selectionSequenceId 302u:selectorId 303u:informationElementId 304u:selectorAlgorithm
305u:samplingPacketInterval 306u:samplingPacketSpace 307u:samplingTimeInterval 308u:samplingTimeSpace
309u:samplingSize 310u:samplingPopulation 311f:samplingProbability 312u:dataLinkFrameSize 313o:ipHeaderPacketSection
314o:ipPayloadPacketSection 315o:dataLinkFrameSection 316o:mplsLabelStackSection 317o:mplsPayloadPacketSection
318u:selectorIdTotalPktsObserved 319u:selectorIdTotalPktsSelected 320f:absoluteError 321f:relativeError
322t:observationTimeSeconds 323tm:observationTimeMilliseconds 324tn:observationTimeMicroseconds
325tn:observationTimeNanoseconds 326u:digestHashValue 327u:hashIPPayloadOffset 328u:hashIPPayloadSize
329u:hashOutputRangeMin 330u:hashOutputRangeMax 331u:hashSelectedRangeMin 332u:hashSelectedRangeMax
333b:hashDigestOutput 334u:hashInitialiserValue 335s:selectorName 336f:upperCILimit 337f:lowerCILimit
338f:confidenceLevel 339u:informationElementDataType 340s:informationElementDescription 341s:informationElementName
342u:informationElementRangeBegin 343u:informationElementRangeEnd 344u:informationElementSemantics
345u:informationElementUnits 346u:privateEnterpriseNumber 347o:virtualStationInterfaceId
348s:virtualStationInterfaceName 349o:virtualStationUUID 350s:virtualStationName 351u:layer2SegmentId
352u:layer2OctetDeltaCount 353u:layer2OctetTotalCount 354u:ingressUnicastPacketTotalCount
355u:ingressMulticastPacketTotalCount 356u:ingressBroadcastPacketTotalCount 357u:egressUnicastPacketTotalCount
358u:egressBroadcastPacketTotalCount 359tm:monitoringIntervalStartMilliSeconds
360tm:monitoringIntervalEndMilliSeconds 361u:portRangeStart 362u:portRangeEnd 363u:portRangeStepSize
364u:portRangeNumPorts 365m:staMacAddress 366a:staIPv4Address 367m:wtpMacAddress 368u:ingressInterfaceType
369u:egressInterfaceType 370u:rtpSequenceNumber 371s:userName 372s:applicationCategoryName
373s:applicationSubCategoryName 374s:applicationGroupName 375u:originalFlowsPresent 376u:originalFlowsInitiated
377u:originalFlowsCompleted 378u:distinctCountOfSourceIPAddress 379u:distinctCountOfDestinationIPAddress
380u:distinctCountOfSourceIPv4Address 381u:distinctCountOfDestinationIPv4Address
382u:distinctCountOfSourceIPv6Address 383u:distinctCountOfDestinationIPv6Address 384u:valueDistributionMethod
385u:rfc3550JitterMilliseconds 386u:rfc3550JitterMicroseconds 387u:rfc3550JitterNanoseconds 388b:dot1qDEI
389b:dot1qCustomerDEI 390u:flowSelectorAlgorithm 391u:flowSelectedOctetDeltaCount 392u:flowSelectedPacketDeltaCount
393u:flowSelectedFlowDeltaCount 394u:selectorIDTotalFlowsObserved 395u:selectorIDTotalFlowsSelected
396u:samplingFlowInterval 397u:samplingFlowSpacing 398u:flowSamplingTimeInterval 399u:flowSamplingTimeSpacing
400u:hashFlowDomain 401u:transportOctetDeltaCount 402u:transportPacketDeltaCount 403a:originalExporterIPv4Address
404a:originalExporterIPv6Address 405u:originalObservationDomainId 406u:intermediateProcessId
407u:ignoredDataRecordTotalCount 408u:dataLinkFrameType 409u:sectionOffset 410u:sectionExportedOctets
411o:dot1qServiceInstanceTag 412u:dot1qServiceInstanceId 413u:dot1qServiceInstancePriority
414m:dot1qCustomerSourceMacAddress 415m:dot1qCustomerDestinationMacAddress 417u:postLayer2OctetDeltaCount
418u:postMCastLayer2OctetDeltaCount 420u:postLayer2OctetTotalCount 421u:postMCastLayer2OctetTotalCount
422u:minimumLayer2TotalLength 423u:maximumLayer2TotalLength 424u:droppedLayer2OctetDeltaCount
425u:droppedLayer2OctetTotalCount 426u:ignoredLayer2OctetTotalCount 427u:notSentLayer2OctetTotalCount
428u:layer2OctetDeltaSumOfSquares 429u:layer2OctetTotalSumOfSquares 430u:layer2FrameDeltaCount
431u:layer2FrameTotalCount 432a:pseudoWireDestinationIPv4Address 433u:ignoredLayer2FrameTotalCount
434i:mibObjectValueInteger 435o:mibObjectValueOctetString 436o:mibObjectValueOID 437o:mibObjectValueBits
438a:mibObjectValueIPAddress 439u:mibObjectValueCounter 440u:mibObjectValueGauge 441u:mibObjectValueTimeTicks
442u:mibObjectValueUnsigned 443l:mibObjectValueTable 444l:mibObjectValueRow 445o:mibObjectIdentifier
446u:mibSubIdentifier 447u:mibIndexIndicator 448u:mibCaptureTimeSemantics 449o:mibContextEngineID
450s:mibContextName 451s:mibObjectName 452s:mibObjectDescription 453s:mibObjectSyntax 454s:mibModuleName
455s:mobileIMSI 456s:mobileMSISDN 457u:httpStatusCode 458u:sourceTransportPortsLimit 459s:httpRequestMethod
460s:httpRequestHost 461s:httpRequestTarget 462s:httpMessageVersion 463u:natInstanceID 464o:internalAddressRealm
465o:externalAddressRealm 466u:natQuotaExceededEvent 467u:natThresholdEvent 468s:httpUserAgent 469s:httpContentType
470s:httpReasonPhrase 471u:maxSessionEntries 472u:maxBIBEntries 473u:maxEntriesPerUser 474u:maxSubscribers
475u:maxFragmentsPendingReassembly 476u:addressPoolHighThreshold 477u:addressPoolLowThreshold
478u:addressPortMappingHighThreshold 479u:addressPortMappingLowThreshold 480u:addressPortMappingPerUserHighThreshold
481u:globalAddressMappingHighThreshold 482o:vpnIdentifier 483u:bgpCommunity 484l:bgpSourceCommunityList
485l:bgpDestinationCommunityList 486o:bgpExtendedCommunity 487l:bgpSourceExtendedCommunityList
488l:bgpDestinationExtendedCommunityList 489o:bgpLargeCommunity 490l:bgpSourceLargeCommunityList
491l:bgpDestinationLargeCommunityList 492u:srhFlagsIPv6 493u:srhTagIPv6 494a:srhSegmentIPv6
495a:srhActiveSegmentIPv6 496l:srhSegmentIPv6BasicList 497o:srhSegmentIPv6ListSection 498u:srhSegmentsIPv6Left
499o:srhIPv6Section 500u:srhIPv6ActiveSegmentType 501u:srhSegmentIPv6LocatorLength
502u:srhSegmentIPv6EndpointBehavior 503u:transportChecksum 504o:icmpHeaderPacketSection 505u:gtpuFlags
506u:gtpuMsgType 507u:gtpuTEid 508u:gtpuSequenceNum 509u:gtpuQFI 510u:gtpuPduType 511l:bgpSourceAsPathList
512l:bgpDestinationAsPathList 513u:ipv6ExtensionHeaderType 514u:ipv6ExtensionHeaderCount
515o:ipv6ExtensionHeadersFull 516l:ipv6ExtensionHeaderTypeCountList 517b:ipv6ExtensionHeadersLimit
518u:ipv6ExtensionHeadersChainLength 519l:ipv6ExtensionHeaderChainLengthList 520o:tcpOptionsFull
521u:tcpSharedOptionExID16 522u:tcpSharedOptionExID32 523l:tcpSharedOptionExID16List 524l:tcpSharedOptionExID32List
"""
)
_NINE = _read(
    """
8192u:streamcoreWanRtt 8193u:streamcoreNetAppRespTime 8194u:streamcoreTotalAppRespTime
8195u:streamcoreTcpRetransRate 8196u:streamcoreCallDirection 8256s:streamcoreHostname 8257s:streamcoreUrl
8258s:streamcoreSslCn 8259s:streamcoreSslOrg 8320u:streamcoreMosLq 8321u:streamcoreNetDelay 8322u:streamcoreNetLoss
8323u:streamcoreNetJitter 8324u:streamcoreNetDiscard 8325u:streamcoreRtpClockrateIn 8326u:streamcoreRtpClockrateOut
8327u:streamcoreCodecIn 8328u:streamcoreCodecOut 8384u:streamcoreIdRule1 8385u:streamcoreIdRule2
8386u:streamcoreIdRule3 8387u:streamcoreIdRule4 8388u:streamcoreIdRule5 8389u:streamcoreIdRule6
8390u:streamcoreIdRule7 8391u:streamcoreIdRule8 8392u:streamcoreIdRule9 8393u:streamcoreIdRule10 33000o:ingressAclId
33001o:egressAclId 33002u:firewallExtendedEvent 40000s:userName 40001a:postNATSourceIPv4Address
40002a:postNATDestinationIPv4Address 40003u:postNAPTSourceTransportPort 40004u:postNAPTDestinationTransportPort
40005u:firewallEvent 56701s:paloAltoAppId 56702s:paloAltoUserId 57590u:nprobeProtocol 57591s:nprobeProtocolName
"""
)
_VENDORS = {
    9: _read(
        """
8337u:ciscoServerBytesNetwork 8338u:ciscoClientBytesNetwork 9252u:ciscoServicesWaasSegment
9253u:ciscoServicesWaasPassthroughReason 9357o:ciscoAppHTTPUriStatistics 12232s:ciscoAppCategoryName
12233s:ciscoAppSubCategoryName 12234s:ciscoAppGroupName 12235s:ciscoAppHTTPHost 12236a:ciscoClientIPv4Address
12237a:ciscoServerIPv4Address 12240u:ciscoClientL4Port 12241u:ciscoServerL4Port 12242u:ciscoConnectionId
12243s:ciscoAppTrafficClass 12244s:ciscoAppBusiness
"""
    ),
    637: _read(
        """
91u:natInsideSvcid 92u:natOutsideSvcid 93s:natSubString
"""
    ),
    3054: _read(
        """
110u:ixiaL7AppId 111s:ixiaL7AppName 120s:ixiaSrcCountryCode 121s:ixiaSrcCountryName 122s:ixiaSrcRegionCode
123s:ixiaSrcRegionName 125s:ixiaSrcCityName 126f:ixiaSrcLatitude 127f:ixiaSrcLongitude 140s:ixiaDstCountryCode
141s:ixiaDstCountryName 142s:ixiaDstRegionCode 143s:ixiaDstRegionName 145s:ixiaDstCityName 146f:ixiaDstLatitude
147f:ixiaDstLongitude 160u:ixiaDeviceId 161s:ixiaDeviceName 162u:ixiaBrowserId 163s:ixiaBrowserName
176u:ixiaRevOctetDeltaCount 177u:ixiaRevPacketDeltaCount 178s:ixiaEncryptType 179s:ixiaEncryptCipher
180u:ixiaEncryptKeyLen 181s:ixiaIMSI 182s:ixiaHttpUserAgent 183s:ixiaHttpHostName 184s:ixiaHttpUri 185s:ixiaDnsTxt
186s:ixiaSrcAsName 187s:ixiaDstAsName 188u:ixiaLatency 189s:ixiaDnsQuery 190s:ixiaDnsAnswer 191s:ixiaDnsClasses
192s:ixiaThreatType 193a:ixiaThreatIPv4 194a:ixiaThreatIPv6 195o:ixiaHttpSession 196u:ixiaRequestTime
"""
    ),
    5951: _read(
        """
128u:netscalerRoundTripTime 129u:netscalerTransactionId 130s:netscalerHttpReqUrl
132u:netscalerFlowFlags 133u:netscalerConnectionId 134u:netscalerSyslogPriority 135s:netscalerSyslogMessage
136u:netscalerSyslogTimestamp 140s:netscalerHttpReqReferer 141s:netscalerHttpReqMethod 142s:netscalerHttpReqHost
143s:netscalerHttpReqUserAgent 144u:netscalerHttpRspStatus 145u:netscalerHttpRspLen 146u:netscalerServerTTFB
147u:netscalerServerTTLB 150u:netscalerAppNameIncarnationNumber 151u:netscalerAppNameAppId 152s:netscalerAppName
153u:netscalerHttpReqRcvFB 156u:netscalerHttpReqForwFB 157u:netscalerHttpResRcvFB 158u:netscalerHttpResForwFB
159u:netscalerHttpReqRcvLB 160u:netscalerHttpReqForwLB 161u:netscalerMainPageId 162u:netscalerMainPageCoreId
163s:netscalerHttpClientInteractionStartTime 164s:netscalerHttpClientRenderEndTime
165s:netscalerHttpClientRenderStartTime 167s:netscalerAppTemplateName 168s:netscalerHttpClientInteractionEndTime
169u:netscalerHttpResRcvLB 170u:netscalerHttpResForwLB 171u:netscalerAppUnitNameAppId 172u:netscalerDbLoginFlags
173u:netscalerDbReqType 174u:netscalerDbProtocolName 175s:netscalerDbUserName 176s:netscalerDbDatabaseName
177s:netscalerDbCltHostName 178s:netscalerDbReqString 179s:netscalerDbRespStatusString 180u:netscalerDbRespStatus
181u:netscalerDbRespLength 182u:netscalerClientRTT 183s:netscalerHttpContentType
186s:netscalerHttpReqVia 187s:netscalerHttpResLocation
190s:netscalerHttpReqXForwardedFor 192o:netscalerConnectionChainID
193u:netscalerConnectionChainHopCount 200o:netscalerICASessionGuid 201s:netscalerIcaClientVersion
202u:netscalerIcaClientType 203a:netscalerIcaClientIP 204s:netscalerIcaClientHostName 205s:netscalerAaaUsername
207s:netscalerIcaDomainName 208u:netscalerIcaClientLauncher 209u:netscalerIcaSessionSetupTime
210s:netscalerIcaServerName 214u:netscalerIcaSessionReconnects 215u:netscalerIcaRTT
216u:netscalerIcaClientsideRXBytes 217u:netscalerIcaClientsideTXBytes 219u:netscalerIcaClientsidePacketsRetransmit
220u:netscalerIcaServersidePacketsRetransmit 221u:netscalerIcaClientsideRTT 222u:netscalerIcaServersideRTT
223u:netscalerIcaSessionUpdateBeginSec 224u:netscalerIcaSessionUpdateEndSec 235u:netscalerIcaConnectionPriority
236u:netscalerApplicationStartupDuration 237u:netscalerIcaLaunchMechanism 238s:netscalerIcaApplicationName
239u:netscalerApplicationStartupTime 240u:netscalerIcaApplicationTerminationType
241u:netscalerIcaApplicationTerminationTime 242u:netscalerIcaSessionEndTime 243u:netscalerIcaClientsideJitter
244u:netscalerIcaServersideJitter 245u:netscalerIcaAppProcessID 246s:netscalerIcaAppModulePath
247u:netscalerIcaDeviceSerialNo 248o:netscalerMsiClientCookie 249u:netscalerIcaFlags 250s:netscalerIcaUsername
251u:netscalerLicenseType 252u:netscalerMaxLicenseCount 253u:netscalerCurrentLicenseConsumed
254u:netscalerIcaNetworkUpdateStartTime 255u:netscalerIcaNetworkUpdateEndTime 256u:netscalerIcaClientsideSRTT
257u:netscalerIcaServersideSRTT 258u:netscalerIcaClientsideDelay 259u:netscalerIcaServersideDelay
260u:netscalerIcaHostDelay 261u:netscalerIcaClientSideWindowSize 262u:netscalerIcaServerSideWindowSize
263u:netscalerIcaClientSideRTOCount 264u:netscalerIcaServerSideRTOCount 265u:netscalerIcaL7ClientLatency
266u:netscalerIcaL7ServerLatency 267s:netscalerHttpDomainName 268u:netscalerCacheRedirClientConnectionCoreID
269u:netscalerCacheRedirClientConnectionTransactionID
"""
    ),
    6871: _read(
        """
14u:initialTCPFlags 15u:unionTCPFlags 18o:payload 21u:reverseFlowDeltaMilliseconds 33u:silkAppLabel
35u:payloadEntropy 36s:osName 37s:osVersion 38o:firstPacketBanner 39o:secondPacketBanner 40u:flowAttributes
100u:expiredFragmentCount 101u:assembledFragmentCount 102u:meanFlowRate 103u:meanPacketRate
104u:flowTableFlushEventCount 105u:flowTablePeakCount 107s:osFingerPrint 179s:dnsQName 185u:sslCipher
187u:sslServerCipher 223u:tcpUrgTotalCount 294s:sslServerName 500u:smallPacketCount 501u:nonEmptyPacketCount
502u:dataByteCount 503u:averageInterarrivalTime 504u:standardDeviationInterarrivalTime 505u:firstNonEmptyPacketSize
506u:maxPacketSize 507u:firstEightNonEmptyPacketDirections 508u:standardDeviationPayloadLength 510u:largePacketCount
16398u:reverseInitialTCPFlags 16399u:reverseUnionTCPFlags 16402o:reversePayload 16419u:reversePayloadEntropy
16424u:reverseFlowAttributes 16884u:reverseSmallPacketCount 16885u:reverseNonEmptyPacketCount
16886u:reverseDataByteCount 16887u:reverseAverageInterarrivalTime 16888u:reverseStandardDeviationInterarrivalTime
16889u:reverseFirstNonEmptyPacketSize 16890u:reverseMaxPacketSize 16892u:reverseStandardDeviationPayloadLength
16894u:reverseLargePacketCount
"""
    ),
    6876: _read(
        """
880u:vmwareTenantProtocol 881a:vmwareTenantSourceIPv4 882a:vmwareTenantDestIPv4 883a:vmwareTenantSourceIPv6
884a:vmwareTenantDestIPv6 886u:vmwareTenantSourcePort 887u:vmwareTenantDestPort 888u:vmwareEgressInterfaceAttr
889u:vmwareVxlanExportRole 890u:vmwareIngressInterfaceAttr
"""
    ),
    41916: _read(
        """
4321u:viptelaVPNId
"""
    ),
}
