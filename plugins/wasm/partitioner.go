package wasm

import (
	"fmt"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/plugins/wasm/message"
	"github.com/millrace/millrace/sdk"
)

func init() { sdk.Partitioners.Register("wasm", NewPartitioner) }

// Partitioner is a partitioner that is a WebAssembly module. Any goroutine may call it.
type Partitioner struct {
	*pool
	racks bool
}

var _ sdk.Chooser = (*Partitioner)(nil)

// listening is one that wants to hear of batches that are full.
type listening struct{ *Partitioner }

var _ sdk.BatchListener = listening{}

// NewPartitioner makes a partitioner from its settings: those of New but for deadline.ms.
// There is one instance, which remembers what it did for all callers; they take turns.
func NewPartitioner(c sdk.Config) (sdk.Partitioner, error) {
	pool, err := newPool(c, partitioners, false)
	if err != nil {
		return nil, err
	}
	exports := pool.module.compiled.ExportedFunctions()
	p := &Partitioner{pool, exports[abi.LeaderRacks] != nil}
	if exports[abi.OnNewBatch] != nil {
		return listening{p}, nil
	}
	return p, nil
}

// Partition is Choose, and −1 when that fails.
func (p *Partitioner) Partition(at *sdk.Placement) int32 {
	n, err := p.Choose(at)
	if err != nil {
		return -1
	}
	return n
}

// Choose asks the guest for a partition.
func (p *Partitioner) Choose(at *sdk.Placement) (int32, error) {
	chosen := int32(-1)
	err := p.turn(func(i *instance) error {
		i.message = message.AppendPlacement(i.message, at, p.racks)
		answer, err := p.ask(i, abi.Partition)
		switch {
		case err != nil:
			return err
		case answer >= uint64(max(at.Partitions, 0)):
			return fmt.Errorf("it chose partition %d of %d: %w", int64(answer), at.Partitions, ErrOutput)
		}
		chosen = int32(answer)
		return nil
	})
	return chosen, err
}

// OnNewBatch tells the guest that a batch is full.
func (l listening) OnNewBatch(topic string, partition int32) {
	i, err := l.take()
	if err != nil {
		return // it was counted, and the next record's sender is told
	}
	i.message = message.AppendFull(i.message, topic, partition)
	_, err = l.ask(i, abi.OnNewBatch)
	if l.give(i, err); err != nil {
		l.complain("OnNewBatch", l.wrong(err))
	}
}
