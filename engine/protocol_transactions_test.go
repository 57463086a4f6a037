package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/batch"
)

// transactor is a producer with a transactional id, in the words of the protocol.
type transactor struct {
	*peer
	id       string
	producer int64
	epoch    int16
	sequence map[int32]int32 // by partition, of the transaction or of the epoch
}

// retriable are answers after which a client asks again.
func retriable(code int16) bool {
	return slices.Contains([]*kerr.Error{
		kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.NotEnoughReplicas,
	}, kerr.TypedErrorForCode(code))
}

// repeated asks until the answer is not to ask again.
func repeated[A kmsg.Response](p *peer, version int16, q kmsg.Request, code func(A) int16) A {
	p.t.Helper()
	for end := time.Now().Add(patience); ; {
		a := ask[A](p, version, q)
		if !retriable(code(a)) || time.Now().After(end) {
			return a
		}
	}
}

func initRequest(id string, timeout time.Duration) *kmsg.InitProducerIDRequest {
	q := kmsg.NewPtrInitProducerIDRequest()
	q.TransactionalID, q.TransactionTimeoutMillis = &id, int32(timeout.Milliseconds())
	return q
}

// transactor begins the life of a transactional id, or takes it over.
func (p *peer) transactor(id string) *transactor {
	p.t.Helper()
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey, find.CoordinatorType = id, 1
	f := repeated(p, 2, find, func(a *kmsg.FindCoordinatorResponse) int16 { return a.ErrorCode })
	want(p.t, "find coordinator", f.ErrorCode, nil)
	a := repeated(p, 4, initRequest(id, time.Minute), func(a *kmsg.InitProducerIDResponse) int16 { return a.ErrorCode })
	want(p.t, "init producer id", a.ErrorCode, nil)
	return &transactor{peer: p, id: id, producer: a.ProducerID, epoch: a.ProducerEpoch, sequence: map[int32]int32{}}
}

// batch is the next one for a partition.
func (x *transactor) batch(partition int32, values ...string) []byte {
	o := batch.NoProducer()
	o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = x.producer, x.epoch, x.sequence[partition], true
	x.sequence[partition] += int32(len(values))
	return recordsAt(time.Now().UnixMilli(), o, values...)
}

// send produces records within the transaction.
func (x *transactor) send(version int16, s subject, partition int32, values ...string) int16 {
	x.t.Helper()
	q := produceRequest(version, s, partition, -1, x.batch(partition, values...))
	q.TransactionID = &x.id
	return repeated(x.peer, version, q, func(a *kmsg.ProduceResponse) int16 { return a.Topics[0].Partitions[0].ErrorCode }).Topics[0].Partitions[0].ErrorCode
}

func (x *transactor) addRequest(version int16, s subject, verify bool, partitions ...int32) *kmsg.AddPartitionsToTxnRequest {
	q := kmsg.NewPtrAddPartitionsToTxnRequest()
	if version < 4 {
		q.TransactionalID, q.ProducerID, q.ProducerEpoch = x.id, x.producer, x.epoch
		q.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: s.name, Partitions: partitions}}
		return q
	}
	q.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{{
		TransactionalID: x.id, ProducerID: x.producer, ProducerEpoch: x.epoch, VerifyOnly: verify,
		Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: s.name, Partitions: partitions}},
	}}
	return q
}

func addedCodes(a *kmsg.AddPartitionsToTxnResponse) (codes []int16) {
	for _, t := range a.Topics {
		for _, p := range t.Partitions {
			codes = append(codes, p.ErrorCode)
		}
	}
	for _, one := range a.Transactions {
		for _, t := range one.Topics {
			for _, p := range t.Partitions {
				codes = append(codes, p.ErrorCode)
			}
		}
	}
	return codes
}

// add adds partitions as a client of version 1 does.
func (x *transactor) add(s subject, partitions ...int32) int16 {
	x.t.Helper()
	return addedCodes(repeated(x.peer, 3, x.addRequest(3, s, false, partitions...), func(a *kmsg.AddPartitionsToTxnResponse) int16 { return addedCodes(a)[0] }))[0]
}

// end ends the transaction; with version 5 it takes the epoch that it is given.
func (x *transactor) end(version int16, commit bool) int16 {
	x.t.Helper()
	q := kmsg.NewPtrEndTxnRequest()
	q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Commit = x.id, x.producer, x.epoch, commit
	a := repeated(x.peer, version, q, func(a *kmsg.EndTxnResponse) int16 { return a.ErrorCode })
	if version >= 5 && a.ErrorCode == 0 {
		x.producer, x.epoch, x.sequence = a.ProducerID, a.ProducerEpoch, map[int32]int32{}
	}
	return a.ErrorCode
}

// offsets commits an offset of a group within the transaction.
func (x *transactor) offsets(version int16, group string, s subject, offset int64) int16 {
	x.t.Helper()
	q := x.offsetsRequest(version, group, s, offset)
	return repeated(x.peer, version, q, func(a *kmsg.TxnOffsetCommitResponse) int16 { return a.Topics[0].Partitions[0].ErrorCode }).Topics[0].Partitions[0].ErrorCode
}

func (x *transactor) offsetsRequest(version int16, group string, s subject, offset int64) *kmsg.TxnOffsetCommitRequest {
	q := kmsg.NewPtrTxnOffsetCommitRequest()
	q.TransactionalID, q.Group, q.ProducerID, q.ProducerEpoch, q.Generation = x.id, group, x.producer, x.epoch, -1
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Offset, p.Metadata = offset, kmsg.StringPtr("note")
	q.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: s.name, TopicID: s.id, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{p}}}
	if version >= 6 {
		q.Topics[0].Topic = ""
	}
	return q
}

func (x *transactor) addOffsets(version int16, group string) int16 {
	x.t.Helper()
	q := kmsg.NewPtrAddOffsetsToTxnRequest()
	q.TransactionalID, q.Group, q.ProducerID, q.ProducerEpoch = x.id, group, x.producer, x.epoch
	return repeated(x.peer, version, q, func(a *kmsg.AddOffsetsToTxnResponse) int16 { return a.ErrorCode }).ErrorCode
}

// committedOnly reads a partition as a consumer of committed records does.
func (p *peer) committedOnly(version int16, s subject, partition int32) (all []string, r kmsg.FetchResponseTopicPartition) {
	p.t.Helper()
	q := from(s, partition, 0)
	q.IsolationLevel = 1
	r = p.fetch(version, q)
	want(p.t, "fetch", r.ErrorCode, nil)
	aborted := map[int64]bool{}
	waiting := slices.Clone(r.AbortedTransactions)
	for _, b := range batches(p.t, r.RecordBatches) {
		waiting = slices.DeleteFunc(waiting, func(a kmsg.FetchResponseTopicPartitionAbortedTransaction) bool {
			if a.FirstOffset > b.LastOffset() {
				return false
			}
			aborted[a.ProducerID] = true
			return true
		})
		switch {
		case b.Control():
			delete(aborted, b.ProducerID())
		case !aborted[b.ProducerID()]:
			all = append(all, values(p.t, b)...)
		}
	}
	return all, r
}

// stable waits until the last stable offset of a partition is the high watermark, and tells it.
func (p *peer) stable(s subject, partition int32) int64 {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if r := p.fetch(11, from(s, partition, 0)); r.LastStableOffset == r.HighWatermark {
			return r.HighWatermark
		}
	}
	p.t.Fatal("a transaction stays open")
	return -1
}

func TestReadersOfCommittedRecordsSeeWholeTransactions(t *testing.T) {
	for name, versions := range map[string]struct{ produce, end int16 }{"version 1": {9, 3}, "version 2": {12, 5}} {
		t.Run(name, func(t *testing.T) {
			p := dialed(t)
			s := p.topic(2)
			x := p.transactor(unused(t))
			send := func(partition int32, value string) {
				t.Helper()
				if versions.end < 5 {
					want(t, "add "+value, x.add(s, partition), nil)
				}
				want(t, "send "+value, x.send(versions.produce, s, partition, value), nil)
			}
			p.put(s, 0, records("before"))
			send(0, "a1")
			send(1, "a2")
			p.put(s, 0, records("between"))
			if all, r := p.committedOnly(12, s, 0); !slices.Equal(all, []string{"before"}) || r.LastStableOffset != 1 || r.HighWatermark != 3 {
				t.Fatalf("%q while it is open, stable %d, high watermark %d", all, r.LastStableOffset, r.HighWatermark)
			}
			if got := values(t, p.fetch(12, from(s, 0, 0)).RecordBatches); len(got) != 3 {
				t.Fatalf("uncommitted are %q", got)
			}
			want(t, "commit", x.end(versions.end, true), nil)
			p.stable(s, 0)
			p.stable(s, 1)
			send(0, "b1")
			send(1, "b2")
			want(t, "abort", x.end(versions.end, false), nil)
			p.stable(s, 0)
			p.stable(s, 1)
			send(0, "c1")
			want(t, "commit again", x.end(versions.end, true), nil)
			p.stable(s, 0)
			for partition, expected := range [][]string{{"before", "a1", "between", "c1"}, {"a2"}} {
				for _, version := range []int16{4, 11, 12, 16} {
					all, r := p.committedOnly(version, s, int32(partition))
					if !slices.Equal(all, expected) || len(r.AbortedTransactions) != 1 {
						t.Errorf("version %d, partition %d: %q, want %q; aborted %+v", version, partition, all, expected, r.AbortedTransactions)
					}
				}
			}
			if r := p.fetch(12, from(s, 0, 0)); r.AbortedTransactions != nil {
				t.Errorf("a reader of all records is told of %+v", r.AbortedTransactions)
			}
		})
	}
}

// TestTransactionVersionCanGoBackAndForth: a cluster that was founded before version 2.
func TestTransactionVersionCanGoBackAndForth(t *testing.T) {
	onlyOurs(t)
	p := dialed(t)
	s := p.topic(1)
	id := unused(t)
	set := func(level int16, way int8) *kmsg.UpdateFeaturesResponse {
		q := kmsg.NewPtrUpdateFeaturesRequest()
		u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		u.Feature, u.MaxVersionLevel, u.UpgradeType = "transaction.version", level, way
		q.FeatureUpdates = append(q.FeatureUpdates, u)
		return ask[*kmsg.UpdateFeaturesResponse](p, 2, q)
	}
	finalized := func() (level int16) {
		for _, f := range ask[*kmsg.ApiVersionsResponse](p, 4, versionsRequest("test", "1")).FinalizedFeatures {
			if f.Name == "transaction.version" {
				level = f.MaxVersionLevel
			}
		}
		return level
	}
	want(t, "down without saying so", set(0, 1).ErrorCode, kerr.InvalidUpdateVersion)
	want(t, "down", set(0, 2).ErrorCode, nil)
	if got := finalized(); got != 0 {
		t.Fatalf("level %d, want 0", got)
	}
	x := p.transactor(id)
	want(t, "add", x.add(s, 0), nil)
	want(t, "send", x.send(11, s, 0, "version 1"), nil)
	want(t, "commit", x.end(4, true), nil)
	p.stable(s, 0)
	want(t, "up", set(2, 1).ErrorCode, nil)
	if got := finalized(); got != 2 {
		t.Fatalf("level %d, want 2", got)
	}
	want(t, "send", x.send(12, s, 0, "version 2"), nil)
	want(t, "commit", x.end(5, true), nil)
	p.stable(s, 0)
	if all, _ := p.committedOnly(12, s, 0); !slices.Equal(all, []string{"version 1", "version 2"}) {
		t.Fatalf("committed are %q", all)
	}
}

func TestListOffsetsOfCommittedRecords(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	p.put(s, 0, records("before"))
	x := p.transactor(unused(t))
	want(t, "send", x.send(12, s, 0, "open"), nil)
	latest := func(isolation int8) int64 {
		q := kmsg.NewPtrListOffsetsRequest()
		q.IsolationLevel = isolation
		one := kmsg.NewListOffsetsRequestTopicPartition()
		one.Timestamp = -1
		q.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: s.name, Partitions: []kmsg.ListOffsetsRequestTopicPartition{one}}}
		a := ask[*kmsg.ListOffsetsResponse](p, 7, q).Topics[0].Partitions[0]
		want(t, "list offsets", a.ErrorCode, nil)
		return a.Offset
	}
	if all, committed := latest(0), latest(1); all != 2 || committed != 1 {
		t.Fatalf("latest %d, committed %d; want 2 and 1", all, committed)
	}
	want(t, "abort", x.end(5, false), nil)
	if end := p.stable(s, 0); latest(1) != end {
		t.Fatalf("committed %d after the end, want %d", latest(1), end)
	}
}

func TestASecondProducerFencesTheFirst(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	id := unused(t)
	first := p.transactor(id)
	want(t, "send", first.send(12, s, 0, "of a zombie"), nil)
	second := p.another().transactor(id)
	if second.producer != first.producer || second.epoch <= first.epoch {
		t.Fatalf("the second is %d epoch %d, the first %d epoch %d", second.producer, second.epoch, first.producer, first.epoch)
	}
	want(t, "send as a zombie", first.send(12, s, 0, "late"), kerr.InvalidProducerEpoch)
	want(t, "commit as a zombie", first.end(5, true), kerr.ProducerFenced)
	want(t, "commit as an old zombie", first.end(1, true), kerr.InvalidProducerEpoch)
	want(t, "add as a zombie", first.add(s, 0), kerr.ProducerFenced)
	want(t, "send", second.send(12, s, 0, "good"), nil)
	want(t, "commit", second.end(5, true), nil)
	p.stable(s, 0)
	if all, _ := p.committedOnly(12, s, 0); !slices.Equal(all, []string{"good"}) {
		t.Fatalf("committed are %q", all)
	}
}

func TestABatchThatBelongsToNoTransactionIsRefused(t *testing.T) {
	p := dialed(t)
	s := p.topic(2)
	x := p.transactor(unused(t))
	want(t, "send without adding", x.send(9, s, 0, "lost"), kerr.InvalidTxnState)
	x.sequence[0] = 0
	want(t, "add", x.add(s, 1), nil)
	want(t, "send to another partition", x.send(11, s, 0, "lost"), kerr.TransactionAbortable)
	stranger := &transactor{peer: p, id: unused(t), producer: x.producer, sequence: map[int32]int32{}}
	want(t, "send for an id that nobody knows", stranger.send(9, s, 1, "lost"), kerr.InvalidProducerIDMapping)
	q := produceRequest(9, s, 0, -1, x.batch(0, "lost"))
	a := ask[*kmsg.ProduceResponse](p, 9, q)
	want(t, "send without an id", a.Topics[0].Partitions[0].ErrorCode, kerr.TransactionalIDAuthorizationFailed)
	if high := p.fetch(11, from(s, 0, 0)).HighWatermark; high != 0 {
		t.Fatalf("%d records are there", high)
	}
}

// TestOffsetsCommitWithTheTransaction: consume, transform, produce.
func TestOffsetsCommitWithTheTransaction(t *testing.T) {
	for name, version := range map[string]int16{"version 1": 3, "version 2": 5} {
		t.Run(name, func(t *testing.T) {
			p := dialed(t)
			p.coordinated()
			s, group := p.topic(1), unused(t)
			x := p.transactor(unused(t))
			add := func() {
				t.Helper()
				if version < 5 {
					want(t, "add offsets", x.addOffsets(3, group), nil)
				}
			}
			stable := func() kmsg.OffsetFetchResponseGroupTopicPartition {
				q := offsetsRequest(7, group, s)
				q.RequireStable = true
				a := ask[*kmsg.OffsetFetchResponse](p, 7, q).Topics[0].Partitions[0]
				return kmsg.OffsetFetchResponseGroupTopicPartition{Offset: a.Offset, ErrorCode: a.ErrorCode}
			}
			end := int16(3)
			if version >= 5 {
				end = 5
			} else {
				want(t, "offsets without adding", x.offsets(3, group, s, 1), kerr.InvalidTxnState)
			}
			add()
			want(t, "offsets", x.offsets(version, group, s, 7), nil)
			want(t, "a stable fetch", stable().ErrorCode, kerr.UnstableOffsetCommit)
			if got := p.committed(5, group, s).Offset; got != -1 {
				t.Fatalf("offset %d is seen before the commit", got)
			}
			want(t, "commit", x.end(end, true), nil)
			for stable().ErrorCode != 0 {
				p.alive()
			}
			if got := stable().Offset; got != 7 {
				t.Fatalf("offset %d after the commit, want 7", got)
			}
			add()
			want(t, "offsets", x.offsets(version, group, s, 9), nil)
			want(t, "abort", x.end(end, false), nil)
			for stable().ErrorCode != 0 {
				p.alive()
			}
			if got := stable().Offset; got != 7 {
				t.Fatalf("offset %d after the abort, want 7", got)
			}
		})
	}
}

func TestATransactionEndsAtItsTimeLimit(t *testing.T) {
	onlyOurs(t) // Kafka looks every ten seconds
	p := dialed(t, "transaction.abort.timed.out.transaction.cleanup.interval.ms=20")
	s := p.topic(1)
	id := unused(t)
	a := repeated(p, 4, initRequest(id, 50*time.Millisecond), func(a *kmsg.InitProducerIDResponse) int16 { return a.ErrorCode })
	x := &transactor{peer: p, id: id, producer: a.ProducerID, epoch: a.ProducerEpoch, sequence: map[int32]int32{}}
	want(t, "send", x.send(12, s, 0, "too slow"), nil)
	p.stable(s, 0)
	if all, _ := p.committedOnly(12, s, 0); len(all) != 0 {
		t.Fatalf("committed are %q", all)
	}
	want(t, "commit what is over", x.end(5, true), kerr.InvalidTxnState)
	want(t, "send", x.send(12, s, 0, "late"), kerr.InvalidProducerEpoch)
	want(t, "too long a limit", ask[*kmsg.InitProducerIDResponse](p, 4, initRequest(id, time.Hour)).ErrorCode, kerr.InvalidTransactionTimeout)
}

func TestFetchWaitsForTheLastStableOffset(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	x := p.transactor(unused(t))
	want(t, "send", x.send(12, s, 0, "open"), nil)
	reader := p.another()
	q := from(s, 0, 0)
	q.MaxWaitMillis, q.IsolationLevel = long, 1
	reader.waiting(12, q)
	p.put(s, 0, records("more")) // is committed, and cannot be read yet
	p.another().alive()
	want(t, "commit", x.end(5, true), nil)
	r := one(t, expect[*kmsg.FetchResponse](reader, 12, q, reader.last))
	if got := values(t, r.RecordBatches); len(got) < 2 || got[0] != "open" {
		t.Fatalf("%q, stable %d", got, r.LastStableOffset)
	}
}

// transactionExercises are those of the keys of transactions.
func transactionExercises() map[kmsg.Key]exercise {
	return map[kmsg.Key]exercise{
		kmsg.AddPartitionsToTxn: func(p *peer, version int16, s subject) error {
			x := p.transactor(unused(p.t))
			if version >= 4 {
				a := ask[*kmsg.AddPartitionsToTxnResponse](p, version, x.addRequest(version, s, true, 0))
				if got := addedCodes(a); len(got) != 1 || got[0] != kerr.TransactionAbortable.Code {
					return fmt.Errorf("verified %v", got)
				}
			}
			a := ask[*kmsg.AddPartitionsToTxnResponse](p, version, x.addRequest(version, s, false, 0))
			if got := addedCodes(a); len(got) != 1 || got[0] != 0 {
				return fmt.Errorf("answer %+v", a)
			}
			a = ask[*kmsg.AddPartitionsToTxnResponse](p, version, x.addRequest(version, s, false, 0, 7))
			if got := addedCodes(a); !slices.Equal(got, []int16{kerr.OperationNotAttempted.Code, kerr.UnknownTopicOrPartition.Code}) {
				return fmt.Errorf("with one that does not exist: %v", got)
			}
			want(p.t, "abort", x.end(3, false), nil)
			return nil
		},
		kmsg.AddOffsetsToTxn: func(p *peer, version int16, _ subject) error {
			x := p.transactor(unused(p.t))
			if code := x.addOffsets(version, unused(p.t)); code != 0 {
				return fmt.Errorf("code %d", code)
			}
			want(p.t, "abort", x.end(3, false), nil)
			x.epoch--
			expected := kerr.ProducerFenced.Code
			if version < 2 {
				expected = kerr.InvalidProducerEpoch.Code
			}
			if code := x.addOffsets(version, unused(p.t)); code != expected {
				return fmt.Errorf("with an old epoch %s", errorName(code))
			}
			return nil
		},
		kmsg.EndTxn: func(p *peer, version int16, s subject) error {
			x := p.transactor(unused(p.t))
			want(p.t, "add", x.add(s, 0), nil)
			epoch := x.epoch
			want(p.t, "end", x.end(version, version%2 == 0), nil)
			if next := x.epoch; version >= 5 && next != epoch+1 || version < 5 && next != epoch {
				return fmt.Errorf("epoch %d becomes %d", epoch, next)
			}
			p.stable(s, 0)
			return nil
		},
		kmsg.TxnOffsetCommit: func(p *peer, version int16, s subject) error {
			x, group := p.transactor(unused(p.t)), unused(p.t)
			if version < 5 {
				want(p.t, "add offsets", x.addOffsets(3, group), nil)
			}
			want(p.t, "offsets", x.offsets(version, group, s, 44), nil)
			want(p.t, "commit", x.end(3, true), nil)
			for end := time.Now().Add(patience); p.committed(5, group, s).Offset != 44; {
				if time.Now().After(end) {
					return fmt.Errorf("committed %+v", p.committed(5, group, s))
				}
			}
			return nil
		},
		kmsg.WriteTxnMarkers: markersExercise,
		kmsg.DescribeProducers: func(p *peer, version int16, s subject) error {
			x := p.transactor(unused(p.t))
			want(p.t, "send", x.send(12, s, 0, "open"), nil)
			one, err := p.describedProducer(version, s, x.producer)
			if err != nil || one.ProducerEpoch != int32(x.epoch) || one.CurrentTxnStartOffset < 0 || one.LastSequence != 0 {
				return fmt.Errorf("answer %+v, %v", one, err)
			}
			want(p.t, "commit", x.end(5, true), nil)
			p.stable(s, 0)
			if one, err = p.describedProducer(version, s, x.producer); err != nil || one.CurrentTxnStartOffset != -1 || one.CoordinatorEpoch < 0 {
				return fmt.Errorf("after the end %+v, %v", one, err)
			}
			return nil
		},
		kmsg.DescribeTransactions: func(p *peer, version int16, s subject) error {
			x := p.transactor(unused(p.t))
			q := kmsg.NewPtrDescribeTransactionsRequest()
			q.TransactionalIDs = []string{x.id, unused(p.t)}
			a := ask[*kmsg.DescribeTransactionsResponse](p, version, q)
			if one := a.TransactionStates[0]; one.State != "Empty" || one.ProducerID != x.producer || one.TimeoutMillis != 60_000 || one.StartTimestamp != -1 {
				return fmt.Errorf("answer %+v", one)
			}
			if got := a.TransactionStates[1].ErrorCode; got != kerr.TransactionalIDNotFound.Code {
				return fmt.Errorf("of one that does not exist %s", errorName(got))
			}
			want(p.t, "send", x.send(12, s, 0, "open"), nil)
			one := ask[*kmsg.DescribeTransactionsResponse](p, version, q).TransactionStates[0]
			if one.State != "Ongoing" || one.StartTimestamp <= 0 || len(one.Topics) != 1 || one.Topics[0].Topic != s.name || len(one.Topics[0].Partitions) != 1 {
				return fmt.Errorf("answer %+v", one)
			}
			want(p.t, "commit", x.end(5, true), nil)
			p.stable(s, 0)
			return nil
		},
		kmsg.ListTransactions: listExercise,
		kmsg.UpdateFeatures:   featuresExercise,
	}
}

// featuresExercise sets a level that is set already, and one that cannot be, for which there
// is one error in every version.
func featuresExercise(p *peer, version int16, _ subject) error {
	for level, expected := range map[int16]*kerr.Error{2: nil, 77: kerr.InvalidUpdateVersion} {
		q := kmsg.NewPtrUpdateFeaturesRequest()
		u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		u.Feature, u.MaxVersionLevel, u.UpgradeType = "transaction.version", level, 1
		q.FeatureUpdates = append(q.FeatureUpdates, u)
		a := ask[*kmsg.UpdateFeaturesResponse](p, version, q)
		want(p.t, fmt.Sprintf("level %d", level), a.ErrorCode, expected)
		single := expected == nil && version < 2
		if single && (len(a.Results) != 1 || a.Results[0].Feature != "transaction.version" || a.Results[0].ErrorCode != 0) || !single && len(a.Results) != 0 {
			return fmt.Errorf("answer %+v", a)
		}
	}
	return nil
}

func listExercise(p *peer, version int16, s subject) error {
	x := p.transactor(unused(p.t))
	want(p.t, "send", x.send(12, s, 0, "open"), nil)
	defer func() {
		want(p.t, "abort", x.end(5, false), nil)
		p.stable(s, 0)
	}()
	found := func(change func(*kmsg.ListTransactionsRequest)) (int, *kmsg.ListTransactionsResponse) {
		q := kmsg.NewPtrListTransactionsRequest()
		q.DurationFilterMillis = -1
		change(q)
		a := ask[*kmsg.ListTransactionsResponse](p, version, q)
		n := 0
		for _, one := range a.TransactionStates {
			if one.TransactionalID == x.id && one.ProducerID == x.producer && one.TransactionState == "Ongoing" {
				n++
			}
		}
		return n, a
	}
	for name, test := range map[string]struct {
		change func(*kmsg.ListTransactionsRequest)
		since  int16
		want   int
	}{
		"all":              {func(*kmsg.ListTransactionsRequest) {}, 0, 1},
		"this state":       {func(q *kmsg.ListTransactionsRequest) { q.StateFilters = []string{"Ongoing"} }, 0, 1},
		"another state":    {func(q *kmsg.ListTransactionsRequest) { q.StateFilters = []string{"Empty"} }, 0, 0},
		"no state":         {func(q *kmsg.ListTransactionsRequest) { q.StateFilters = []string{"Odd"} }, 0, 0},
		"this producer":    {func(q *kmsg.ListTransactionsRequest) { q.ProducerIDFilters = []int64{x.producer} }, 0, 1},
		"another producer": {func(q *kmsg.ListTransactionsRequest) { q.ProducerIDFilters = []int64{x.producer + 1} }, 0, 0},
		"open for an hour": {func(q *kmsg.ListTransactionsRequest) { q.DurationFilterMillis = 3_600_000 }, 1, 0},
		"this name":        {func(q *kmsg.ListTransactionsRequest) { q.TransactionalIDPattern = kmsg.StringPtr(x.id[:3] + ".*") }, 2, 1},
		"part of the name": {func(q *kmsg.ListTransactionsRequest) { q.TransactionalIDPattern = kmsg.StringPtr(x.id[:3]) }, 2, 0},
	} {
		if version < test.since {
			continue
		}
		got, a := found(test.change)
		if got != test.want || a.ErrorCode != 0 {
			return fmt.Errorf("%s: found %d in %+v", name, got, a)
		}
		if name == "no state" && !slices.Equal(a.UnknownStateFilters, []string{"Odd"}) {
			return fmt.Errorf("unknown states %q", a.UnknownStateFilters)
		}
	}
	return nil
}

func (p *peer) describedProducer(version int16, s subject, id int64) (kmsg.DescribeProducersResponseTopicPartitionActiveProducer, error) {
	q := kmsg.NewPtrDescribeProducersRequest()
	q.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: s.name, Partitions: []int32{0, 7}}}
	a := ask[*kmsg.DescribeProducersResponse](p, version, q).Topics[0]
	if a.Partitions[0].ErrorCode != 0 || a.Partitions[1].ErrorCode != kerr.UnknownTopicOrPartition.Code {
		return kmsg.DescribeProducersResponseTopicPartitionActiveProducer{}, fmt.Errorf("answer %+v", a)
	}
	for _, one := range a.Partitions[0].ActiveProducers {
		if one.ProducerID == id {
			return one, nil
		}
	}
	return kmsg.DescribeProducersResponseTopicPartitionActiveProducer{}, fmt.Errorf("producer %d is not in %+v", id, a.Partitions[0].ActiveProducers)
}

// markersExercise aborts in one partition what a producer has open there, as
// kafka-transactions does.
func markersExercise(p *peer, version int16, s subject) error {
	x := p.transactor(unused(p.t))
	want(p.t, "send", x.send(12, s, 0, "hangs"), nil)
	q := kmsg.NewPtrWriteTxnMarkersRequest()
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch = x.producer, x.epoch, 0
	m.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: s.name, Partitions: []int32{0, 7}}}
	q.Markers = append(q.Markers, m)
	a := ask[*kmsg.WriteTxnMarkersResponse](p, version, q)
	if len(a.Markers) != 1 || a.Markers[0].ProducerID != x.producer || a.Markers[0].Topics[0].Partitions[0].ErrorCode != 0 ||
		a.Markers[0].Topics[0].Partitions[1].ErrorCode != kerr.UnknownTopicOrPartition.Code {
		return fmt.Errorf("answer %+v", a)
	}
	p.stable(s, 0)
	want(p.t, "abort", x.end(5, false), nil)
	return nil
}
