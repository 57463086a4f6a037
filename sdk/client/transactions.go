package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client/native"
	"github.com/millrace/millrace/sdk/client/native/transaction"
)

// GroupMetadata is who reads in a group: offsets of a transaction are refused from a member
// that the group does not know any more.
type GroupMetadata struct {
	Group      string
	Generation int32  // −1: no member
	Member     string // ""
	Instance   string // "" without static membership
}

// transactions is how far a producer is with its transactions.
type transactions struct {
	id     string // "": it has none
	state  atomic.Int32
	engine transacting
}

// How far a transactional producer is.
const (
	txnUnknown int32 = iota
	txnReady
	txnBegun
)

// What calls of transactions fail with when they come at the wrong moment.
var (
	errNoTransactions = errors.New("the producer has no transactions: give it a transactional.id")
	errNotInitialised = errors.New("call InitTransactions first, once")
	errNotBegun       = errors.New("no transaction was begun: call BeginTransaction")
	errBegun          = errors.New("a transaction is under way: commit or abort it")
)

// maySend reports whether records may be sent now.
func (t *transactions) maySend() error {
	if t.id != "" && t.state.Load() != txnBegun {
		return errNotBegun
	}
	return nil
}

// in checks that a call comes at its moment.
func (t *transactions) in(state int32) error {
	switch is := t.state.Load(); {
	case t.id == "":
		return errNoTransactions
	case is == state:
		return nil
	case is == txnUnknown:
		return errNotInitialised
	case is == txnBegun:
		return errBegun
	default:
		return errNotBegun
	}
}

// bounded is ctx with max.block.ms.
func (p *Producer[K, V]) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, p.maxBlock, fmt.Errorf("no answer within max.block.ms=%d: %w", p.maxBlock.Milliseconds(), ErrTimeout))
}

// InitTransactions ends what a producer with the same transactional.id left, and keeps that
// one from going on. It is called once, before all other calls of transactions.
func (p *Producer[K, V]) InitTransactions(ctx context.Context) error {
	switch {
	case p.txn.id == "":
		return errNoTransactions
	case p.txn.state.Load() != txnUnknown:
		return errors.New("InitTransactions was called before")
	}
	ctx, cancel := p.bounded(ctx)
	defer cancel()
	if err := p.txn.engine.initTransactions(ctx); err != nil {
		return fmt.Errorf("begin with the transactions of %s: %w", p.txn.id, err)
	}
	p.txn.state.Store(txnReady)
	return nil
}

// BeginTransaction begins a transaction: all that is sent until its end is part of it.
func (p *Producer[K, V]) BeginTransaction() error {
	if err := p.txn.in(txnReady); err != nil {
		return err
	}
	if err := p.txn.engine.beginTxn(); err != nil {
		return fmt.Errorf("begin a transaction of %s: %w", p.txn.id, err)
	}
	p.txn.state.Store(txnBegun)
	return nil
}

// CommitTransaction waits for what was sent and commits the transaction. When a record of it
// failed, nothing is committed: abort it. When it runs out of time it may be called again.
func (p *Producer[K, V]) CommitTransaction(ctx context.Context) error { return p.endTxn(ctx, true) }

// AbortTransaction drops what was not sent yet and aborts the transaction.
func (p *Producer[K, V]) AbortTransaction(ctx context.Context) error { return p.endTxn(ctx, false) }

func (p *Producer[K, V]) endTxn(ctx context.Context, commit bool) error {
	if err := p.txn.in(txnBegun); err != nil {
		return err
	}
	ctx, cancel := p.bounded(ctx)
	defer cancel()
	if err := p.txn.engine.endTxn(ctx, commit); err != nil {
		if !commit {
			return fmt.Errorf("abort the transaction of %s: %w", p.txn.id, err)
		}
		return fmt.Errorf("commit the transaction of %s: %w", p.txn.id, err)
	}
	p.txn.state.Store(txnReady)
	return nil
}

// SendOffsetsToTransaction commits offsets of a group with the transaction: where to read
// on once what was made of what was read is committed.
func (p *Producer[K, V]) SendOffsetsToTransaction(ctx context.Context, offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata, group GroupMetadata) error {
	if err := p.txn.in(txnBegun); err != nil || len(offsets) == 0 {
		return err
	}
	ctx, cancel := p.bounded(ctx)
	defer cancel()
	if err := p.txn.engine.sendOffsets(ctx, group, offsets); err != nil {
		return fmt.Errorf("send offsets of group %s with the transaction of %s: %w", group.Group, p.txn.id, err)
	}
	return nil
}

// nativeTransactions are those of the native engine.
type nativeTransactions struct{ p *native.Producer }

func (n nativeTransactions) initTransactions(ctx context.Context) error {
	return n.p.InitTransactions(ctx)
}

func (n nativeTransactions) beginTxn() error {
	return n.p.BeginTransaction(context.Background()) // its sender answers at once
}

func (n nativeTransactions) endTxn(ctx context.Context, commit bool) error {
	if commit {
		return n.p.CommitTransaction(ctx)
	}
	return n.p.AbortTransaction(ctx)
}

func (n nativeTransactions) sendOffsets(ctx context.Context, group GroupMetadata, offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) error {
	o := &transaction.Offsets{Group: group.Group, Generation: group.Generation, Member: group.Member, Instance: group.Instance}
	if group.Member == "" {
		o.Generation = -1
	}
	for at, offset := range offsets {
		o.All = append(o.All, transaction.Offset{Partition: transaction.Partition{Topic: at.Topic, Index: at.Partition}, At: offset.Offset, Epoch: offset.LeaderEpoch, Metadata: offset.Metadata})
	}
	return n.p.SendOffsets(ctx, o)
}

func (e *franzEngine) initTransactions(ctx context.Context) error {
	for tries := 1; ; tries++ {
		_, _, err := e.client.ProducerID(ctx)
		if err == nil || !kerr.IsRetriable(err) {
			return err
		}
		timer := time.NewTimer(e.backoff(tries))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		}
	}
}

func (e *franzEngine) beginTxn() error {
	e.written.Store(0)
	e.lost.Store(nil)
	e.offsets.Store(false)
	return e.client.BeginTransaction()
}

func (e *franzEngine) endTxn(ctx context.Context, commit bool) error {
	try := kgo.TryCommit
	if commit {
		if err := e.client.Flush(ctx); err != nil {
			return err
		}
		if lost := e.lost.Load(); lost != nil {
			return fmt.Errorf("a record of it was not sent, abort it: %w", *lost)
		}
	} else {
		try = kgo.TryAbort
		if err := e.client.AbortBufferedRecords(ctx); err != nil {
			return err
		}
	}
	if err := e.client.EndTransaction(ctx, try); err != nil {
		return err
	}
	if !e.offsets.Load() || e.written.Load() > 0 {
		return nil
	}
	// franz-go ends only what it knows records of.
	return e.coordinated(ctx, func(id int64, epoch int16) (int16, error) {
		q := kmsg.NewPtrEndTxnRequest()
		q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Commit = e.id, id, epoch, commit
		a, err := q.RequestWith(ctx, e.client)
		if err != nil {
			return 0, err
		}
		return a.ErrorCode, nil
	})
}

// coordinated asks the coordinator of transactions or of a group until it has time.
func (e *franzEngine) coordinated(ctx context.Context, ask func(id int64, epoch int16) (code int16, err error)) error {
	id, epoch, err := e.client.ProducerID(ctx)
	if err != nil {
		return err
	}
	for tries := 1; ; tries++ {
		code, err := ask(id, epoch)
		if err != nil {
			return err
		}
		failure := kerr.ErrorForCode(code)
		if failure == nil || !kerr.IsRetriable(failure) && !errors.Is(failure, kerr.ConcurrentTransactions) {
			return failure
		}
		timer := time.NewTimer(e.backoff(tries))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), failure)
		}
	}
}

func (e *franzEngine) sendOffsets(ctx context.Context, group GroupMetadata, offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) error {
	err := e.coordinated(ctx, func(id int64, epoch int16) (int16, error) {
		q := kmsg.NewPtrAddOffsetsToTxnRequest()
		q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Group = e.id, id, epoch, group.Group
		a, err := q.RequestWith(ctx, e.client)
		if err != nil {
			return 0, err
		}
		return a.ErrorCode, nil
	})
	if err != nil {
		return err
	}
	e.offsets.Store(true)
	return e.coordinated(ctx, func(id int64, epoch int16) (int16, error) {
		q := kmsg.NewPtrTxnOffsetCommitRequest()
		q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Group = e.id, id, epoch, group.Group
		if q.Generation = group.Generation; group.Member == "" {
			q.Generation = -1
		}
		q.MemberID = group.Member
		if group.Instance != "" {
			q.InstanceID = &group.Instance
		}
		q.Topics = offsetsOf(offsets)
		a, err := q.RequestWith(ctx, e.client)
		if err != nil {
			return 0, err
		}
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return p.ErrorCode, nil
				}
			}
		}
		return 0, nil
	})
}

// offsetsOf are offsets as TxnOffsetCommit has them.
func offsetsOf(offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) []kmsg.TxnOffsetCommitRequestTopic {
	byTopic := map[string]*kmsg.TxnOffsetCommitRequestTopic{}
	for at, offset := range offsets {
		t := byTopic[at.Topic]
		if t == nil {
			one := kmsg.NewTxnOffsetCommitRequestTopic()
			one.Topic, t = at.Topic, &one
			byTopic[at.Topic] = t
		}
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = at.Partition, offset.Offset, offset.LeaderEpoch
		if offset.Metadata != "" {
			p.Metadata = kmsg.StringPtr(offset.Metadata)
		}
		t.Partitions = append(t.Partitions, p)
	}
	all := make([]kmsg.TxnOffsetCommitRequestTopic, 0, len(byTopic))
	for _, t := range byTopic {
		all = append(all, *t)
	}
	return all
}
