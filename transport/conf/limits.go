package conf

// Limits of a document. Each is named in the error that it causes.
const (
	// MaxContent is the largest document, in bytes.
	MaxContent = 384 << 10
	// MaxEncoded is the largest document, in bytes of a JSON string: a
	// PushConfig body carries it as one, and escaping grows it (a newline or a
	// quote takes 2 bytes, each of < > & takes 6). The 32 KiB that are left of
	// a frame's 512 KiB are for the invoke's name, ids and metadata.
	MaxEncoded = 480 << 10
	// MaxLines is the largest number of lines.
	MaxLines = 20000
	// MaxLine is the longest line, in bytes. A longer list of datasources can
	// be written as a YAML list.
	MaxLine = 4096
	// MaxBlankLines is the longest run of blank lines.
	MaxBlankLines = 32
	// MaxErrors is how many errors of a document are reported.
	MaxErrors = 50

	// MaxHostGroups is the largest number of host groups.
	MaxHostGroups = 256
	// MaxDatasources is the largest number of entries of one write or read list.
	MaxDatasources = 64
	// MaxUsers is the largest number of users.
	MaxUsers = 1024
	// MaxName is the longest name of a cluster or a host group, in bytes.
	MaxName = 64
	// MaxUserName is the longest account name, in bytes (MariaDB's limit;
	// MySQL's is 32).
	MaxUserName = 128
	// MaxSecret is the largest secret, in bytes.
	MaxSecret = 4 << 10

	// maxIndent is the largest column of a block key or list dash. It bounds
	// the nesting of blocks.
	maxIndent = 128
	// maxFlowDepth is the deepest nesting of [ ] and { }.
	maxFlowDepth = 8
	// maxKeys is the largest number of keys of one mapping.
	maxKeys = 256
	// maxCollected is how many errors are kept before sorting.
	maxCollected = 1000
)
