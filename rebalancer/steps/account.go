package steps

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Account keeps an account of the weights, for kinds that are balanced by weight or were so.
type Account struct {
	// last is the last account, tried when one was last made.
	last  account
	tried time.Time
}

// account is what the leader says of the weights, for every replica to read: only the leader reads
// the catalogue.
type account struct {
	V        int       `json:"v"`
	At       time.Time `json:"at,omitzero"`
	ByWeight bool      `json:"byWeight"`
	// Total and Lists are there when the weights have been read: Lists is nil until then.
	Total float64         `json:"total,omitempty"`
	Lists map[int]float64 `json:"lists,omitempty"`
	// LeftOut are the ordinals that Lists lacks because there are more than accountLists.
	LeftOut int `json:"leftOut,omitempty"`
}

const (
	// AccountName is the document in which the account is kept.
	AccountName    = "weights"
	accountVersion = 1
	// accountEvery is the least time between two accounts, accountAgain the time after which the
	// same is said again.
	accountEvery = 5 * time.Second
	accountAgain = observed.WeightsMaxAge / 3
	// accountLists is how many lists it tells of: each takes at most about 40 bytes of
	// protocol.MaxDocBytes.
	accountLists = 5000
)

// Next implements Step.
func (s *Account) Next(v *View) Proposal {
	if v.Refusal != "" || v.Now.Sub(s.tried) < accountEvery {
		return Proposal{}
	}
	byWeight := v.Orders.Balance == config.BalanceWeight
	if last, ok := accountOf(v.State); !byWeight && (!ok || !last.ByWeight) {
		return Proposal{}
	}
	a := account{V: accountVersion, At: v.Now, ByWeight: byWeight}
	if byWeight && v.Attributes.Weighed() {
		a.Total, a.Lists = weigh(v)
	}
	if a.equal(s.last) && v.Now.Sub(s.last.At) < accountAgain {
		return Proposal{}
	}
	s.tried = v.Now
	data, err := a.encode()
	if err != nil {
		return Proposal{Err: err}
	}
	m, err := protocol.StoreDoc(v.State, AccountName, data)
	p := propose(m, err, func(time.Time) { s.last = a })
	p.As = AccountName
	return p
}

// encode writes the account: of more than accountLists ordinals the least.
func (a account) encode() ([]byte, error) {
	if ns := slices.Sorted(maps.Keys(a.Lists)); len(ns) > accountLists {
		a.LeftOut = len(ns) - accountLists
		all := a.Lists
		a.Lists = make(map[int]float64, accountLists)
		for _, n := range ns[:accountLists] {
			a.Lists[n] = all[n]
		}
	}
	data, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("encode the account of weights: %w", err)
	}
	return data, nil
}

func (a account) equal(b account) bool {
	return a.ByWeight == b.ByWeight && a.Total == b.Total && maps.Equal(a.Lists, b.Lists)
}

// weigh is what everything weighs, and each list.
func weigh(v *View) (total float64, lists map[int]float64) {
	lists = make(map[int]float64, len(v.State.Instances))
	var sum int64
	for n, in := range v.State.Instances {
		w := v.listed(n, in).weight
		lists[n] = float64(w) / 1000
		sum += w
	}
	for _, p := range v.State.Pool {
		sum += v.weightOf(p.IDs)
	}
	for _, f := range v.State.Flight {
		sum += v.weightOf(f.IDs)
	}
	return float64(sum) / 1000, lists
}

// accountOf is the account that ZooKeeper holds; false: there is none that can be read.
func accountOf(st *protocol.State) (a account, ok bool) {
	doc := st.Kept[AccountName]
	if doc == nil || exact.JSON(doc.Data, &a) != nil || a.V != accountVersion {
		return account{}, false
	}
	return a, true
}

// WeightsOf is what every replica tells of the weights, from the leader's account; nil: the kind is
// balanced by count. lists get theirs.
func WeightsOf(st *protocol.State, lists map[int]observed.List) *observed.Weights {
	a, _ := accountOf(st)
	if !a.ByWeight {
		return nil
	}
	if a.Lists == nil {
		return &observed.Weights{}
	}
	for n, w := range a.Lists {
		if l, ok := lists[n]; ok {
			l.Weight = &w
			lists[n] = l
		}
	}
	return &observed.Weights{At: a.At, Total: a.Total}
}
