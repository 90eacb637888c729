package store

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/zk"
)

// BenchmarkHeap counts how many moves of the protocol's full size (two lists of 5,000 rewritten by
// one transaction, 400 kB) a server with ZooKeeper's default heap of 1,000 MB survives in a row. It
// keeps its last 500 transactions in heap.
func BenchmarkHeap(b *testing.B) {
	const chroot = "/heap"
	s := start(b)
	require.Contains(b, s.env.ZooKeeper.Servers[0].Argv, defaultHeap)
	client := s.client(chroot)
	defer client.Close()
	ids := product.IDs(2*fullList, 16)
	m := &mover{TB: b, client: client}
	m.fill(ids)
	var err error
	made := 0
	for b.Loop() {
		if err == nil {
			err = m.swap()
		}
		if err == nil {
			made++
		}
	}
	b.ReportMetric(float64(made), "full_moves")
	if err != nil {
		b.Logf("after %d moves: %v", made, err)
		return
	}
	s.survived()
	s.verify(chroot, ids)
}

// defaultHeap is the option with ZooKeeper's default.
const defaultHeap = "-Xmx1000m"

// survived wants the server to be the process that was started, and never to have lacked heap.
func (s *server) survived() {
	server := s.env.ZooKeeper.Servers[0]
	require.Equal(s, s.pid, server.Pid(), "the server has ended")
	log, err := os.ReadFile(server.Log)
	require.NoError(s, err)
	require.NotContains(s, string(log), "OutOfMemoryError")
}

// mover leads instances 0 and 1, whose lists are full.
type mover struct {
	testing.TB
	client *zk.Client
	st     *protocol.State
}

func (m *mover) do(multi protocol.Multi, err error) error {
	if err != nil {
		return err
	}
	return m.client.CommitAll(m.Context(), m.st, []protocol.Multi{multi})[0]
}

func (m *mover) fill(ids []string) {
	var err error
	m.st, err = m.client.Lead(m.Context(), kind, "bars/1")
	require.NoError(m, err)
	for n := range 2 {
		require.NoError(m, m.do(protocol.AddOrdinal(m.st, n, fullList)))
	}
	require.NoError(m, m.do(protocol.SetOpen(m.st, []int{0, 1})))
	for n := range 2 {
		for rest := ids[n*fullList : (n+1)*fullList]; len(rest) > 0; {
			k := m.st.NextPiece()
			part := rest[:protocol.Fit(rest, protocol.MaxPieceBytes)]
			rest = rest[len(part):]
			require.NoError(m, m.do(protocol.Create(m.st, k, part)))
			take := protocol.Take{Name: fmt.Sprintf("%d-%d", m.st.Head.Epoch, k)}
			require.NoError(m, m.do(protocol.Assign(m.st, protocol.Give{To: n, From: []protocol.Take{take}})))
		}
	}
}

// swap takes one resource from each list and gives it to the other: two revokes, and a grant that
// writes both lists in full.
func (m *mover) swap() error {
	var flights [2]string
	for n := range 2 {
		if err := m.do(protocol.Revoke(m.st, n, m.st.Instances[n].IDs.Strings()[:1], []int{1 - n}, "")); err != nil {
			return err
		}
		flights[n] = fmt.Sprintf("%d-%d", n, m.st.Instances[n].Times)
	}
	multi, err := protocol.Grant(m.st,
		protocol.Give{To: 0, From: []protocol.Take{{Name: flights[1]}}},
		protocol.Give{To: 1, From: []protocol.Take{{Name: flights[0]}}})
	if err == nil && multi.Bytes() < 390_000 {
		err = fmt.Errorf("a move of %d bytes is none of full size", multi.Bytes())
	}
	return m.do(multi, err)
}
