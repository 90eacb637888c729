// Package doctor looks for what is wrong with an installation of shardscaler, and with the way to
// it.
//
// In: the API server's and shardscaler's answers to one caller. Out: findings, each with its cause
// and the next step. Invariant: what could not be asked is a finding, never "ok".
package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// Status of a finding, the gravest last.
type Status string

// The statuses. Unknown: it could not be looked at.
const (
	OK       Status = "ok"
	Info     Status = "info"
	Unknown  Status = "unknown"
	Warning  Status = "warning"
	Critical Status = "critical"
)

// Finding is one thing that was looked at.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	// Cause is what was found, Next what to do about it; absent: nothing.
	Cause string `json:"cause"`
	Next  string `json:"next,omitempty"`
}

// Report is all that was looked at.
type Report struct {
	Items []Finding `json:"items"`
}

// Wrong says whether something is wrong.
func (r *Report) Wrong() bool {
	for _, f := range r.Items {
		if f.Status == Warning || f.Status == Critical {
			return true
		}
	}
	return false
}

func (r *Report) add(check string, status Status, next, cause string, args ...any) {
	r.Items = append(r.Items, Finding{check, status, fmt.Sprintf(cause, args...), next})
}

// failed notes an error, with the next step that it knows.
func (r *Report) failed(check string, status Status, err error, next string) {
	if own := client.Next(err); own != "" && !strings.Contains(own, "doctor") {
		next = own
	}
	r.add(check, status, next, "%s", err)
}

// Kinds looks at what the server says of its kinds: whether it answers, each alarm, each source.
func (r *Report) Kinds(ctx context.Context, to *client.Client) {
	list, err := to.Kinds(ctx)
	if err != nil {
		r.failed("API", Critical, err, "look at the server's log: kubectl logs -l "+client.Selector)
		r.missed()
		return
	}
	r.add("API", OK, "", "it answers; kinds: %d", len(list.Value.Items))
	for _, k := range list.Value.Items {
		r.kind(k)
	}
}

// noDeployment is the check that finds no Deployment of the server.
const noDeployment = "Deployment"

// missed makes a warning of a Deployment that is not there, since the API does not answer.
func (r *Report) missed() {
	for i := range r.Items {
		if f := &r.Items[i]; f.Check == noDeployment && f.Status == Info {
			f.Status, f.Next = Warning, "name the installation's namespace with -n; kubectl get deployments -A -l "+client.Selector
		}
	}
}

func (r *Report) kind(k ops.Kind) {
	for _, a := range k.Alarms {
		text := a.Text
		if s := since(a.Since); s != "" {
			text += "," + s
		}
		r.add("kind "+k.Name+": "+a.Name, statusOf(a.Severity), a.Cure, "%s", text)
	}
	if k.Blind != "" && len(k.Alarms) == 0 {
		r.add("kind "+k.Name, Warning, "kubectl shardscaler why "+k.Name, "nothing is decided: %s", k.Blind)
	}
	var ages []string
	for _, s := range k.Sources {
		switch {
		case s.Error != "":
			r.add("kind "+k.Name+": source "+s.Name, Warning, "see that the server can reach it, and its log", "it fails%s: %s", since(s.Since), s.Error)
		case s.At.IsZero():
			r.add("kind "+k.Name+": source "+s.Name, Warning, "see that the server can reach it, and its log", "it has never been read")
		default:
			ages = append(ages, s.Name+" "+s.Age)
		}
	}
	if len(ages) > 0 {
		r.add("kind "+k.Name+": sources", OK, "", "age of each: %s", strings.Join(ages, ", "))
	}
}

func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " since " + decide.Stamp(t)
}

func statusOf(severity string) Status {
	switch severity {
	case "critical":
		return Critical
	case "info":
		return Info
	}
	return Warning
}
