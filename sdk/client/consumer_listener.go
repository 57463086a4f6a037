package client

import (
	"context"

	"github.com/millrace/millrace/sdk"
)

// RebalanceListener is told when partitions come and go. It is called by Poll, and by Close
// and Unsubscribe, in the goroutine that called those, and may use the consumer for
// anything but Poll, Unsubscribe and Close. What it answers that call fails with, and a panic of it
// too, as a *PanicError; what the call does, such as a rebalance, goes on.
type RebalanceListener interface {
	// OnPartitionsRevoked is called before partitions are given up: they can still be
	// committed. With enable.auto.commit that has been done.
	OnPartitionsRevoked(ctx context.Context, partitions []sdk.TopicPartition) error
	// OnPartitionsAssigned is called after a rebalance, with the partitions that are new,
	// perhaps none, before any record of them is returned. Whoever keeps offsets elsewhere
	// seeks here.
	OnPartitionsAssigned(ctx context.Context, partitions []sdk.TopicPartition) error
	// OnPartitionsLost is called in place of OnPartitionsRevoked when others may have the
	// partitions already: nothing can be committed.
	OnPartitionsLost(ctx context.Context, partitions []sdk.TopicPartition) error
}

// RebalanceFuncs is a RebalanceListener of functions; those that are nil do nothing, and
// without Lost it is Revoked that is called, as in Kafka.
type RebalanceFuncs struct {
	Revoked, Assigned, Lost func(ctx context.Context, partitions []sdk.TopicPartition) error
}

// OnPartitionsRevoked calls Revoked.
func (f RebalanceFuncs) OnPartitionsRevoked(ctx context.Context, partitions []sdk.TopicPartition) error {
	if f.Revoked == nil {
		return nil
	}
	return f.Revoked(ctx, partitions)
}

// OnPartitionsAssigned calls Assigned.
func (f RebalanceFuncs) OnPartitionsAssigned(ctx context.Context, partitions []sdk.TopicPartition) error {
	if f.Assigned == nil {
		return nil
	}
	return f.Assigned(ctx, partitions)
}

// OnPartitionsLost calls Lost.
func (f RebalanceFuncs) OnPartitionsLost(ctx context.Context, partitions []sdk.TopicPartition) error {
	if f.Lost == nil {
		return f.OnPartitionsRevoked(ctx, partitions)
	}
	return f.Lost(ctx, partitions)
}
