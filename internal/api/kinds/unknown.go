package kinds

import (
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"
)

// OutcomeUnknown is the type of the problem document for a write that was sent to ZooKeeper and
// whose answer has not come. After any other problem it was not carried out, and will not be.
const OutcomeUnknown = "urn:shardscaler:outcome-unknown"

// UnknownOutcome is that document.
type UnknownOutcome struct {
	huma.ErrorModel
	// See is the path whose answer tells later what became of it.
	See string `json:"see" doc:"GET this path to learn what became of it"`
}

// NewUnknown is the document for a write of which the members of the answer to GET see tell.
func NewUnknown(see, members, why string) *UnknownOutcome {
	return &UnknownOutcome{
		ErrorModel: huma.ErrorModel{
			Type: OutcomeUnknown, Title: "Outcome unknown", Status: http.StatusGatewayTimeout,
			Detail: why + "; it may have been carried out or not: before you ask again, see " + members + " of GET " + see,
		},
		See: see,
	}
}

// looks says, by operation, where what it does can be seen; all others are seen in the overrides.
var looks = map[string]struct{ below, members string }{
	"rollback-kind":     {"", "paused and progress"},
	"confirm-kind":      {"", "waiting"},
	"reassign-instance": {"/decision", "lost"},
}

// Unknown is the document for an operation of this package on a kind.
func Unknown(operation, kind, why string) *UnknownOutcome {
	see := "/v1/api/kinds/" + url.PathEscape(kind)
	if look, special := looks[operation]; special {
		return NewUnknown(see+look.below, look.members, why)
	}
	return NewUnknown(see+"/overrides", "items", why)
}
