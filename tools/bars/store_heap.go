package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/zk"
)

// storeHeapGroup tells how many of 2,000 moves of the protocol's full size (two lists of 5,000 rewritten by one transaction, 400 kB) a
// server with ZooKeeper's default heap of 1,000 MB survives in a row. It keeps its last 500 transactions in heap.
var storeHeapGroup = group{
	name:    "store_heap",
	figures: []figure{{"store_heap_1000MB_full_moves", atLeast(fullMoves)}},
	measure: measureHeap,
}

const fullMoves = 2000

func measureHeap(ctx context.Context, b *bench) (map[string]float64, error) {
	const chroot = "/heap"
	s, err := b.startStore(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	server := s.env.ZooKeeper.Servers[0]
	if !bytes.Contains(fmt.Append(nil, server.Argv), []byte("-Xmx1000m")) {
		return nil, fmt.Errorf("the server's heap is not 1,000 MB: %v", server.Argv)
	}
	pid := server.Pid()
	client, err := s.client(ctx, chroot)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ids := product.IDs(2*fullList, 16)
	m := &mover{client: client}
	if err := m.fill(ctx, ids); err != nil {
		return nil, err
	}
	made := 0
	for ; made < fullMoves && err == nil; made++ {
		err = m.swap(ctx)
	}
	if err != nil {
		return map[string]float64{"store_heap_1000MB_full_moves": float64(made - 1)}, err
	}
	if server.Pid() != pid {
		return nil, errors.New("the server has ended")
	}
	log, err := os.ReadFile(server.Log)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(log, []byte("OutOfMemoryError")) {
		return nil, errors.New("the server ran out of memory")
	}
	_, err = s.verify(ctx, chroot, ids)
	return map[string]float64{"store_heap_1000MB_full_moves": float64(made)}, err
}

// mover leads instances 0 and 1, whose lists are full.
type mover struct {
	client *zk.Client
	st     *protocol.State
}

func (m *mover) do(ctx context.Context, multi protocol.Multi, err error) error {
	if err != nil {
		return err
	}
	return m.client.Commit(ctx, m.st, multi)
}

func (m *mover) fill(ctx context.Context, ids []string) (err error) {
	if m.st, err = m.client.Lead(ctx, thing, "bars/1"); err != nil {
		return err
	}
	for n := range 2 {
		multi, err := protocol.AddOrdinal(m.st, n, fullList)
		if err := m.do(ctx, multi, err); err != nil {
			return err
		}
	}
	multi, err := protocol.SetOpen(m.st, []int{0, 1})
	if err := m.do(ctx, multi, err); err != nil {
		return err
	}
	for n := range 2 {
		for rest := ids[n*fullList : (n+1)*fullList]; len(rest) > 0; {
			k := m.st.NextPiece()
			part := rest[:protocol.Fit(rest, protocol.MaxPieceBytes)]
			rest = rest[len(part):]
			multi, err := protocol.Create(m.st, k, part)
			if err := m.do(ctx, multi, err); err != nil {
				return err
			}
			multi, err = protocol.Assign(m.st, protocol.Give{To: n, From: []protocol.Take{{Name: fmt.Sprintf("%d-%d", m.st.Head.Epoch, k)}}})
			if err := m.do(ctx, multi, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// swap takes one resource from each list and gives it to the other: two revokes, and a grant that writes both lists in full.
func (m *mover) swap(ctx context.Context) error {
	var flights [2]string
	for n := range 2 {
		multi, err := protocol.Revoke(m.st, n, m.st.Instances[n].IDs.Strings()[:1], []int{1 - n}, "")
		if err := m.do(ctx, multi, err); err != nil {
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
	return m.do(ctx, multi, err)
}
