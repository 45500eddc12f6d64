package mysql

// Capability flags of the handshake.
const (
	capLongPassword   uint32 = 1 << 0 // MariaDB clears it in its greeting to announce its extended flags
	capFoundRows      uint32 = 1 << 1
	capLongFlag       uint32 = 1 << 2
	capConnectWithDB  uint32 = 1 << 3
	capNoSchema       uint32 = 1 << 4
	capODBC           uint32 = 1 << 6
	capLocalFiles     uint32 = 1 << 7
	capIgnoreSpace    uint32 = 1 << 8
	capProtocol41     uint32 = 1 << 9
	capInteractive    uint32 = 1 << 10
	capSSL            uint32 = 1 << 11
	capIgnoreSigpipe  uint32 = 1 << 12
	capTransactions   uint32 = 1 << 13
	capSecureConn     uint32 = 1 << 15
	capMultiStmts     uint32 = 1 << 16
	capMultiResults   uint32 = 1 << 17
	capPSMultiResults uint32 = 1 << 18
	capPluginAuth     uint32 = 1 << 19
	capConnectAttrs   uint32 = 1 << 20
	capAuthLenenc     uint32 = 1 << 21
	capSessionTrack   uint32 = 1 << 23
	capDeprecateEOF   uint32 = 1 << 24
)

const (
	// capAdvertised is what the proxy offers to clients. TLS, compression, query attributes, optional metadata
	// and MariaDB's extended flags are left out: they would change bytes that are relayed verbatim.
	capAdvertised = capLongPassword | capFoundRows | capLongFlag | capConnectWithDB | capNoSchema | capODBC |
		capLocalFiles | capIgnoreSpace | capProtocol41 | capInteractive | capIgnoreSigpipe | capTransactions |
		capSecureConn | capMultiStmts | capMultiResults | capPSMultiResults | capPluginAuth | capConnectAttrs |
		capAuthLenenc | capSessionTrack | capDeprecateEOF
	// capAuth is how the login itself is written: each side of the proxy decides on its own.
	capAuth = capSecureConn | capPluginAuth | capAuthLenenc
	// capFormat decides how packets are laid out: what the client agreed on, the server must do too.
	capFormat = capProtocol41 | capSessionTrack | capDeprecateEOF | capMultiResults | capPSMultiResults
)

// Server status flags, as in OK and EOF packets.
const (
	statusInTrans            uint16 = 1 << 0
	statusAutocommit         uint16 = 1 << 1
	statusMoreResults        uint16 = 1 << 3
	statusCursorExists       uint16 = 1 << 6
	statusLastRowSent        uint16 = 1 << 7
	statusDBDropped          uint16 = 1 << 8
	statusNoBackslashEscapes uint16 = 1 << 9
)

// Commands: the first byte of a client's packet.
const (
	comSleep            = 0x00
	comQuit             = 0x01
	comInitDB           = 0x02
	comQuery            = 0x03
	comFieldList        = 0x04
	comCreateDB         = 0x05
	comDropDB           = 0x06
	comRefresh          = 0x07
	comShutdown         = 0x08
	comStatistics       = 0x09
	comProcessInfo      = 0x0a
	comProcessKill      = 0x0c
	comDebug            = 0x0d
	comPing             = 0x0e
	comChangeUser       = 0x11
	comBinlogDump       = 0x12
	comTableDump        = 0x13
	comConnectOut       = 0x14
	comRegisterSlave    = 0x15
	comStmtPrepare      = 0x16
	comStmtExecute      = 0x17
	comStmtSendLongData = 0x18
	comStmtClose        = 0x19
	comStmtReset        = 0x1a
	comSetOption        = 0x1b
	comStmtFetch        = 0x1c
	comDaemon           = 0x1d
	comBinlogDumpGTID   = 0x1e
	comResetConnection  = 0x1f
)

// First bytes of a server's packet.
const (
	headOK          = 0x00
	headAuthMore    = 0x01
	headLocalInfile = 0xfb
	headEOF         = 0xfe
	headERR         = 0xff
)

const (
	headerSize = 4         // u24 payload length, u8 sequence id
	maxPayload = 1<<24 - 1 // of one physical packet; a payload of exactly this length is continued in the next
	saltSize   = 20

	pluginNative = "mysql_native_password"
)
