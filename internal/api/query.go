package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/api/access"
)

// What Kubernetes' own clients send through the API server beside an operation's own parameters.
// dryRun is none of them: a change that was asked for as a trial must not be made.
var (
	ofKubernetes = []string{"pretty", "timeout"}
	ofReads      = []string{"resourceVersion"}
	ofChanges    = []string{"fieldManager", "fieldValidation"}
	ofLists      = []string{
		"fieldSelector", "labelSelector", "limit", "continue", "resourceVersion", "resourceVersionMatch",
		"watch", "allowWatchBookmarks", "sendInitialEvents", "timeoutSeconds",
	}
)

// maxNamed bounds how many wrong parameters one answer names.
const maxNamed = 10

// listKinds is the one operation that is a list to Kubernetes.
const listKinds = "list-kinds"

// known is the middleware of the new calls: a query parameter that the operation does not have, and
// one that comes twice, is refused as such fields of a body are.
func (h *handlers) known(ctx huma.Context, next func(huma.Context)) {
	at := ctx.URL()
	query, err := url.ParseQuery(at.RawQuery)
	if err != nil {
		h.refuse(ctx, http.StatusBadRequest, "read query: "+err.Error())
		return
	}
	own, all := parameters(ctx)
	var wrong []error
	for name, values := range query {
		detail := &huma.ErrorDetail{Location: "query." + name, Value: fmt.Sprintf("%.100s", strings.Join(values, ", "))}
		switch {
		case !slices.Contains(all, name):
			detail.Message = unknownParameter(own)
		case len(values) > 1:
			detail.Message = fmt.Sprintf("comes %d times: want it once, several values of a filter separated by commas", len(values))
		default:
			continue
		}
		wrong = append(wrong, detail)
	}
	if len(wrong) == 0 {
		next(ctx)
		return
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if err := huma.WriteErr(h.api, ctx, http.StatusUnprocessableEntity, "validation failed", wrong[:min(len(wrong), maxNamed)]...); err != nil {
		h.log.Debug("answer not written", "error", err)
	}
}

func unknownParameter(own []string) string {
	if len(own) == 0 {
		return "is no parameter of this call, which has none"
	}
	return "is no parameter of this call; there are " + strings.Join(own, ", ")
}

// parameters are those that the call of a request has itself, and all that it takes.
func parameters(ctx huma.Context) (own, all []string) {
	op := ctx.Operation()
	for _, p := range op.Parameters {
		if p.In == "query" {
			own = append(own, p.Name)
		}
	}
	if access.DoorFrom(ctx.Context()) != access.Aggregated {
		return own, own
	}
	theirs := ofReads
	switch {
	case op.OperationID == listKinds:
		theirs = ofLists
	case op.Method != http.MethodGet:
		theirs = ofChanges
	}
	return own, slices.Concat(own, ofKubernetes, theirs)
}
