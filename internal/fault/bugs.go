package fault

// BugVar names the variable that says which Bug a build with -tags faults makes.
const BugVar = "SHARDSCALER_BUG"

// Bug is a mistake that a test build makes on demand, so that the tests that must notice it are
// seen to turn red. A release build holds none.
type Bug string

// Bugs that lose a resource or run it twice: the ways that docs/protocol.md names.
const (
	HeadUnchecked      Bug = "no head check while an ordinal closes"
	VersionIgnored     Bug = "version ignored"
	LossTakenAsFailure Bug = "reply lost taken as failure"
	GrantedEarly       Bug = "grant before release"
	AbsentTakenAsFree  Bug = "absent status taken as release"
	RecreatedElsewhere Bug = "deleted id re-created elsewhere before release"
	DrainGivenUp       Bug = "drain that gives up"
	ListReadFirst      Bug = "`resources` read before `_reload`"
)

// Bugs are all there are.
var Bugs = []Bug{
	HeadUnchecked, VersionIgnored, LossTakenAsFailure, GrantedEarly, AbsentTakenAsFree, RecreatedElsewhere, DrainGivenUp, ListReadFirst,
}
