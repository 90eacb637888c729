package steps

import (
	"bytes"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Claims keeps the claims and what went when they have changed, and answers the calls that made
// claims.
type Claims struct {
	// version is that of what is kept.
	version int
}

// Next implements Step. The document is written if it differs. If it does not, and a caller waits,
// the head must be proven to be ours all the same.
func (s *Claims) Next(v *View) Proposal {
	kept, callers, version := v.Requests.ToKeep(s.version)
	if kept == nil {
		return Proposal{}
	}
	p := Proposal{Ended: func(err error, _ bool) error {
		if err == nil {
			s.version = version
			v.Requests.AnswerClaims(callers)
		}
		return err
	}}
	data, err := kept.Encode()
	if err != nil {
		p.Err = err
		return p
	}
	doc := v.State.Kept[inventory.KeptName]
	if doc == nil && kept.Empty() || doc != nil && bytes.Equal(doc.Data, data) {
		p.Prove = callers > 0
		return p
	}
	m, err := protocol.StoreDoc(v.State, inventory.KeptName, data)
	p.add(Job{Multi: m}, err)
	return p
}
