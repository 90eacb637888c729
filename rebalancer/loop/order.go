package loop

import (
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

// step is one of a pass.
type step struct {
	name string
	steps.Step
	// always: also while the kind is stopped.
	always bool
	// point is passed right before what it proposes is sent; nil: there is none.
	point   func(p *steps.Proposal)
	failure failure
	// logged is when an error of it was last logged.
	logged time.Time
}

// stepCreate is the place of the step that is served between the batches of others, too.
const stepCreate = 2

// inOrder are the steps of a pass, those first of which callers wait.
func inOrder(t *teller) []step {
	c := t.core
	return []step{
		{name: "keep", always: true, Step: &steps.Keep{Calls: c.Calls, Refused: t.notKept}},
		{name: "claims", Step: &steps.Claims{}},
		stepCreate: {name: "create", point: atCreates, Step: &steps.Create{}},
		{name: "delete", point: atDeletes, Step: steps.Delete{}},
		{name: "repair", Step: &steps.Repair{Completed: t.completed, Deduped: t.deduped}},
		{name: "open", point: atReturns, Step: &steps.Open{Opened: t.opened}},
		{name: "roll back", Step: &steps.RollBack{Calls: c.Calls, Move: t.move, Spread: t.spread, Done: t.rolledBack}},
		{name: "grant", point: atReleases, Step: &steps.Grant{Granted: t.granted, Pooled: t.pooled, Move: t.move}},
		{name: "move", Step: t.move},
		{name: "place", point: atDrains, Step: t.place},
		{name: "spread", point: atSpreads, Step: t.spread},
		{name: "remove", Step: &steps.Remove{Removed: t.removed}},
		{name: "compact", Step: steps.Compact{}},
		{name: "account", Step: &steps.Account{}},
	}
}

// The points of what is proposed. A release build holds nothing of them.
func atCreates(*steps.Proposal)  { fault.Point("create.queued") }
func atDeletes(*steps.Proposal)  { fault.Point("delete.queued") }
func atReleases(*steps.Proposal) { fault.Point("move.released") }
func atDrains(*steps.Proposal)   { fault.Point("drain.planned") }
func atSpreads(*steps.Proposal)  { fault.Point("move.planned") }

func atReturns(p *steps.Proposal) {
	if slices.ContainsFunc(p.Jobs, func(j steps.Job) bool { return j.Multi.Step == "redirect" }) {
		fault.Point("drain.undone")
	}
}
