package kinds

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/ops"
)

// Preview is the operation that shows what a change would do, and does nothing.
const Preview = "preview-plan"

// plans are the operations on plans.
type plans struct{ *changes }

// register registers previews of plans, and apply.
func (h plans) register() {
	preview := h.write(http.MethodPost, Preview, "kinds/{kind}/plans", "Preview what a change would do: nothing is done")
	preview.Description = "The leader plans as it would if the change stood now, for new instances as if they were ready. An empty object is a spread, " +
		"however little the lists differ. The answer's id names the plan in apply, for ten minutes, while kind, epoch, configuration, overrides, the open " +
		"set and the lists that the plan takes from are as they were. Resources that are created meanwhile change nothing of that; what is deleted does " +
		"only where it is deleted from an instance that is to be emptied. 429: others are being made."
	preview.Errors = []int{404, 422, 429, 503}
	huma.Register(h.API, preview, h.preview)
	apply := h.write(http.MethodPost, "apply-plan", "kinds/{kind}/apply", "Apply a plan that was previewed: carry out its change")
	apply.Description = "The caller must have the right of the call that makes the plan's change, too: 403. A plan is applied once; callers at the same time get the same answer. 409: it was applied before, or something has changed since, " +
		"which the document's errors name, or nothing may be begun now. 410: it is older than ten minutes, or another leader has made it. 404: there is none."
	apply.Errors = []int{404, 409, 410, 422, 503, 504}
	huma.Register(h.API, apply, h.apply)
}

type previewInput struct {
	KindPath
	Body ops.Change
}

type planOutput struct{ Body ops.Plan }

type applyInput struct {
	KindPath
	Body struct {
		Plan string `json:"plan" minLength:"1" maxLength:"100" doc:"the id of a preview"`
	}
}

func (h plans) preview(ctx context.Context, in *previewInput) (*planOutput, error) {
	if _, err := h.view(in.Kind); err != nil {
		return nil, err
	}
	patient, cancel := context.WithTimeout(ctx, h.patience())
	defer cancel()
	p, err := h.Backend.Preview(patient, in.Kind, in.Body)
	if err != nil {
		return nil, problem(err)
	}
	return &planOutput{p}, nil
}

func (h plans) apply(ctx context.Context, in *applyInput) (*appliedOutput, error) {
	var done ops.Applied
	err := h.carryOut(ctx, "apply-plan", in.Kind, func(ctx context.Context, user string) (before, after string, err error) {
		done, err = h.Backend.Apply(ctx, in.Kind, in.Body.Plan, user)
		return done.Before, done.After, err
	})
	if err != nil {
		return nil, err
	}
	return &appliedOutput{ETag: tag(done.Version), Body: done}, nil
}
