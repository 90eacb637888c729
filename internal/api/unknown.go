package api

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/api/kinds"
)

// OutcomeUnknown is the type of the problem document for a write whose outcome is not known.
const OutcomeUnknown = kinds.OutcomeUnknown

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
func unknown(operation, kind, why string) *kinds.UnknownOutcome {
	look, old := looks[operation]
	if !old {
		return kinds.Unknown(operation, kind, why)
	}
	return kinds.NewUnknown("/v1/api/orchestrations/"+url.PathEscape(kind)+look.below, look.members, why)
}

// MayBeSent says by the error of an HTTP request whether there was a connection to the server.
func MayBeSent(err error) bool {
	op := (*net.OpError)(nil)
	return !errors.As(err, &op) || op.Op != "dial"
}

// unanswered writes the answer to a request that was passed on to the leader and came to nothing;
// sent says whether there was a connection that it may have taken. A preview does nothing anyway.
func (h *handlers) unanswered(ctx huma.Context, addr string, sent bool, err error) {
	why := "the leader at " + addr + " does not answer: " + err.Error()
	if !sent || ctx.Operation().OperationID == kinds.Preview {
		ctx.SetHeader("Retry-After", "5")
		h.refuse(ctx, http.StatusServiceUnavailable, why)
		return
	}
	ctx.SetHeader("Content-Type", "application/problem+json")
	ctx.SetStatus(http.StatusGatewayTimeout)
	if err := json.NewEncoder(ctx.BodyWriter()).Encode(unknown(ctx.Operation().OperationID, ctx.Param("kind"), why)); err != nil {
		h.log.Debug("answer not written", "error", err)
	}
}
