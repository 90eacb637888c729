package api

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

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

// patience is Config.Patience where that is not set: less than the server's write timeout.
const patience = 30 * time.Second

// looks says, by operation, where what it does can be seen: a path below the kind's, with members.
var looks = map[string]struct{ below, members string }{
	"orchestrate":     {"", "maxInstances and resourcePerInstance"},
	"pause":           {"", "paused"},
	"resume":          {"", "paused"},
	"rollback":        {"", "paused and progress"},
	"confirm-deletes": {"", "waiting"},
	"reassign":        {"/decision", "lost"},
}

// unknown is the document for an operation on a kind.
func unknown(operation, kind, why string) *UnknownOutcome {
	look := looks[operation]
	see := "/v1/api/orchestrations/" + url.PathEscape(kind) + look.below
	return &UnknownOutcome{
		ErrorModel: huma.ErrorModel{
			Type: OutcomeUnknown, Title: "Outcome unknown", Status: http.StatusGatewayTimeout,
			Detail: why + "; it may have been carried out or not: before you ask again, see " + look.members + " of GET " + see,
		},
		See: see,
	}
}

// MayBeSent says by the error of an HTTP request whether there was a connection to the server.
func MayBeSent(err error) bool {
	op := (*net.OpError)(nil)
	return !errors.As(err, &op) || op.Op != "dial"
}

// unanswered writes the answer to a request that was passed on to the leader and came to nothing.
func (h *handlers) unanswered(ctx huma.Context, addr string, err error) {
	why := "the leader at " + addr + " does not answer: " + err.Error()
	if !MayBeSent(err) {
		h.refuse(ctx, http.StatusServiceUnavailable, why)
		return
	}
	ctx.SetHeader("Content-Type", "application/problem+json")
	ctx.SetStatus(http.StatusGatewayTimeout)
	if err := json.NewEncoder(ctx.BodyWriter()).Encode(unknown(ctx.Operation().OperationID, ctx.Param("kind"), why)); err != nil {
		h.log.Debug("answer not written", "error", err)
	}
}
