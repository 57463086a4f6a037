package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// LogDir is a folder of a broker's log.dirs.
type LogDir struct {
	Broker      int32
	Path        string
	TotalBytes  int64 // of its file system; −1: not known
	UsableBytes int64
	Replicas    map[sdk.TopicPartition]int64 // the size of each in bytes
}

// DescribeLogDirs tells what lies where on all brokers.
func (a *Admin) DescribeLogDirs(ctx context.Context) ([]LogDir, error) {
	ctx, stop := a.limited(ctx)
	defer stop()
	answers, err := a.kadm.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return nil, failed(ctx, "describe log dirs", err)
	}
	var all []LogDir
	var wrong []error
	for _, d := range answers.Sorted() {
		if d.Err != nil {
			wrong = append(wrong, refused(fmt.Sprintf("describe log dir %s of broker %d", d.Dir, d.Broker), d.Err, ""))
			continue
		}
		dir := LogDir{d.Broker, d.Dir, d.TotalBytes, d.UsableBytes, map[sdk.TopicPartition]int64{}}
		for topic, partitions := range d.Topics {
			for number, p := range partitions {
				dir.Replicas[sdk.TopicPartition{Topic: topic, Partition: number}] = p.Size
			}
		}
		all = append(all, dir)
	}
	return all, errors.Join(wrong...)
}

// VersionRange is the versions of a feature.
type VersionRange struct{ Min, Max int16 }

// Features are what a cluster can do.
type Features struct {
	Finalized map[string]VersionRange // what all of it does
	Supported map[string]VersionRange // what the broker asked can do
	Epoch     int64                   // of Finalized; −1: not known
}

// DescribeFeatures tells the features of the cluster.
func (a *Admin) DescribeFeatures(ctx context.Context) (Features, error) {
	ctx, stop := a.limited(ctx)
	defer stop()
	q := kmsg.NewPtrApiVersionsRequest()
	q.ClientSoftwareName, q.ClientSoftwareVersion = "millrace", "0"
	answer, err := q.RequestWith(ctx, a.client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return Features{}, failed(ctx, "describe features", err)
	}
	f := Features{map[string]VersionRange{}, map[string]VersionRange{}, answer.FinalizedFeaturesEpoch}
	for _, one := range answer.FinalizedFeatures {
		f.Finalized[one.Name] = VersionRange{one.MinVersionLevel, one.MaxVersionLevel}
	}
	for _, one := range answer.SupportedFeatures {
		f.Supported[one.Name] = VersionRange{one.MinVersion, one.MaxVersion}
	}
	return f, nil
}

// Ways of UpdateFeatures.
const (
	Upgrade         int8 = 1
	SafeDowngrade   int8 = 2
	UnsafeDowngrade int8 = 3 // it may lose what the newer version has stored
)

// UpdateFeatures changes the version of features; 0 takes one away. It is one change: all or
// none.
func (a *Admin) UpdateFeatures(ctx context.Context, way int8, versions map[string]int16) error {
	ctx, stop := a.limited(ctx)
	defer stop()
	var updates []kadm.FeatureUpdate
	for name, version := range versions {
		updates = append(updates, kadm.FeatureUpdate{Feature: name, MaxVersionLevel: version, UpgradeType: way})
	}
	answers, err := a.kadm.UpdateFeatures(ctx, false, updates...)
	if err != nil {
		return failed(ctx, "update features", err)
	}
	var all []error
	for _, f := range answers.Sorted() {
		all = append(all, refused("update feature "+f.Feature, f.Err, ""))
	}
	return errors.Join(all...)
}

// TransactionListing is a transactional id and its state.
type TransactionListing struct {
	TransactionalID string
	ProducerID      int64
	State           string
}

// ListTransactions lists transactional ids, by name; those in one of the states, if any is
// named.
func (a *Admin) ListTransactions(ctx context.Context, states ...string) ([]TransactionListing, error) {
	ctx, stop := a.limited(ctx)
	defer stop()
	answers, err := a.kadm.ListTransactions(ctx, nil, states)
	if err != nil {
		return nil, failed(ctx, "list transactions", err)
	}
	var all []TransactionListing
	for _, t := range answers.Sorted() {
		all = append(all, TransactionListing{t.TxnID, t.ProducerID, t.State})
	}
	return all, nil
}

// TransactionDescription is a transaction.
type TransactionDescription struct {
	TransactionListing
	ProducerEpoch int16
	Coordinator   int32
	Timeout       time.Duration
	Started       time.Time // zero: none is open
	Partitions    []sdk.TopicPartition
}

// DescribeTransactions describes the transactions of transactional ids.
func (a *Admin) DescribeTransactions(ctx context.Context, ids ...string) (map[string]TransactionDescription, error) {
	ctx, stop := a.limited(ctx)
	defer stop()
	answers, err := a.kadm.DescribeTransactions(ctx, ids...)
	if err != nil {
		return nil, failed(ctx, "describe transactions", err)
	}
	all, wrong := map[string]TransactionDescription{}, []error{}
	for _, t := range answers.Sorted() {
		if t.Err != nil {
			wrong = append(wrong, refused("describe transaction "+t.TxnID, t.Err, ""))
			continue
		}
		d := TransactionDescription{TransactionListing: TransactionListing{t.TxnID, t.ProducerID, t.State}, ProducerEpoch: t.ProducerEpoch,
			Coordinator: t.Coordinator, Timeout: time.Duration(t.TimeoutMillis) * time.Millisecond, Partitions: ofSet(t.Topics)}
		if t.StartTimestamp >= 0 {
			d.Started = time.UnixMilli(t.StartTimestamp)
		}
		all[t.TxnID] = d
	}
	return all, errors.Join(wrong...)
}

// ProducerState is a producer that a partition knows.
type ProducerState struct {
	ProducerID       int64
	ProducerEpoch    int16
	LastSequence     int32
	LastTimestamp    time.Time
	CoordinatorEpoch int32
	TransactionStart int64 // offset of the first record of its open transaction; −1: none
}

// DescribeProducers tells which idempotent producers partitions know.
func (a *Admin) DescribeProducers(ctx context.Context, partitions ...sdk.TopicPartition) (map[sdk.TopicPartition][]ProducerState, error) {
	ctx, stop := a.limited(ctx)
	defer stop()
	set := kadm.TopicsSet{}
	for _, tp := range partitions {
		set.Add(tp.Topic, tp.Partition)
	}
	answers, err := a.kadm.DescribeProducers(ctx, set)
	if err != nil {
		return nil, failed(ctx, "describe producers", err)
	}
	all, wrong := map[sdk.TopicPartition][]ProducerState{}, []error{}
	answers.Each(func(t kadm.DescribedProducersTopic) {
		for _, p := range t.Partitions.Sorted() {
			tp := sdk.TopicPartition{Topic: p.Topic, Partition: p.Partition}
			if p.Err != nil {
				wrong = append(wrong, refused(fmt.Sprintf("describe producers of %s-%d", p.Topic, p.Partition), p.Err, p.ErrMessage))
				continue
			}
			for _, one := range p.ActiveProducers.Sorted() {
				all[tp] = append(all[tp], ProducerState{one.ProducerID, one.ProducerEpoch, one.LastSequence, time.UnixMilli(one.LastTimestamp),
					one.CoordinatorEpoch, one.CurrentTxnStartOffset})
			}
		}
	})
	slices.SortFunc(wrong, func(x, y error) int { return compare(x.Error(), y.Error()) })
	return all, errors.Join(wrong...)
}

// AbortTransaction writes an abort marker for a transaction that hangs: one that is open in
// a partition, and that its coordinator does not know. DescribeProducers tells of it.
func (a *Admin) AbortTransaction(ctx context.Context, tp sdk.TopicPartition, p ProducerState) error {
	ctx, stop := a.limited(ctx)
	defer stop()
	doing := fmt.Sprintf("abort the transaction of producer %d in %s-%d", p.ProducerID, tp.Topic, tp.Partition)
	set := kadm.TopicsSet{}
	set.Add(tp.Topic, tp.Partition)
	answers, err := a.kadm.WriteTxnMarkers(ctx, kadm.TxnMarkers{ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch, CoordinatorEpoch: p.CoordinatorEpoch, Topics: set})
	if err != nil {
		return failed(ctx, doing, err)
	}
	for _, of := range answers.SortedPartitions() {
		if of.Err != nil {
			return refused(doing, of.Err, "")
		}
	}
	return nil
}
