package mysql

// class says how far a statement reaches. The order is that of growing effect: an analysis of several
// statements takes the greatest.
type class uint8

const (
	// classSession changes the session at most, never data, and opens no transaction whatever autocommit is.
	classSession class = iota
	// classRead reads. With autocommit off it opens a transaction.
	classRead
	// classBegin starts a transaction.
	classBegin
	// classDML is one INSERT, UPDATE, DELETE or REPLACE: with autocommit on, it leaves no transaction behind even
	// when it fails.
	classDML
	// classWrite is everything else, and all that is not understood.
	classWrite
)

type effectKind uint8

const (
	effSet           effectKind = iota // session state key has the value that the statement text sets
	effCapture                         // session state key has a value that only the server knows
	effOneShot                         // text counts for the next transaction only
	effUse                             // key is the current database
	effDropDatabase                    // key was dropped
	effTempTable                       // temporary table key exists
	effDropTable                       // table key, temporary or not, does not
	effUserLock                        // GET_LOCK(key) was called
	effUserUnlock                      // RELEASE_LOCK(key)
	effUserUnlockAll                   // RELEASE_ALL_LOCKS(), or a RELEASE_LOCK that was not understood
	effTableLocks                      // LOCK TABLES
	effGlobalLock                      // FLUSH TABLES WITH READ LOCK or FOR EXPORT
	effTableUnlock                     // UNLOCK TABLES
	effPrepare                         // PREPARE key: text repeats it
	effDeallocate                      // DEALLOCATE PREPARE key
	effPin                             // the session cannot be moved any more: text says why
	effLastInsertID                    // SET last_insert_id: text is the number
)

// effect is what one statement does to the session when it succeeds, as far as its text shows it.
type effect struct {
	kind      effectKind
	key, text string
}

// killTarget is a KILL by connection id.
type killTarget struct {
	id         uint64
	query      bool // KILL QUERY: the connection stays
	start, end int  // where the number stands in the text
}

// statement is one of the statements of a text.
type statement struct {
	class   class
	effects []effect
}

// analysis is what the proxy needs to know of the text of a COM_QUERY or COM_STMT_PREPARE.
type analysis struct {
	class class
	// effects of each statement, in order. nil when none has any.
	effects [][]effect
	// opaque: a statement runs others that cannot be seen (CALL, EXECUTE), so results cannot be matched with
	// statements.
	opaque bool
	count  int // of statements
	kill   *killTarget
}

// needsTicket reports whether the text may write or open a transaction, for a session that is in none.
func (a *analysis) needsTicket(autocommit bool) bool {
	return a.class >= classBegin || a.class == classRead && !autocommit
}

// repeatable reports whether sending the text a second time, on a new connection, does no harm when the first
// was lost before it was answered: all that it changes was lost with the connection.
func (a *analysis) repeatable() bool { return a.class <= classBegin }

// settled reports whether an error leaves no transaction open that was not open before, with autocommit on.
func (a *analysis) settled() bool {
	return a.class == classRead || a.class == classSession || a.class == classDML && a.count == 1
}

// What the commands other than statements do.
var (
	infoSession = &analysis{class: classSession, count: 1}
	infoRead    = &analysis{class: classRead, count: 1}
	infoWrite   = &analysis{class: classWrite, count: 1}
)
