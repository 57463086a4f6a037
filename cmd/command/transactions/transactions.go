// Package transactions looks at transactions from both sides, that of their coordinator
// and that of the partitions that they write to, and ends those that hang.
//
//	coordinator   List, Describe, Terminate     by transactional id
//	partition     Producers, Abort              by producer id and first offset
//	both          FindHanging                   open in a partition, unknown to the coordinator
package transactions

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/cmd/command/table"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// failed says in Kafka's words what could not be done.
func failed(err error, format string, args ...any) error {
	return fmt.Errorf("%s: %s. Enable debug logging for additional detail.", fmt.Sprintf(format, args...), session.Message(err))
}

// none stands in a column for a time or offset that there is not.
const none = "None"

// ListOptions say which transactions to list.
type ListOptions struct {
	// Longer leaves out those that run for no longer. Negative: none.
	Longer time.Duration
	// Pattern is a regular expression for the transactional id. "": all.
	Pattern string
}

// List prints the transactions that the coordinators know, by transactional id.
func List(ctx context.Context, s *session.Session, o ListOptions) error {
	request := kmsg.NewPtrListTransactionsRequest()
	request.DurationFilterMillis = -1
	if o.Longer >= 0 {
		request.DurationFilterMillis = o.Longer.Milliseconds()
	}
	if o.Pattern != "" {
		request.TransactionalIDPattern = &o.Pattern
	}
	var rows [][]string
	for _, shard := range s.Client.RequestSharded(ctx, request) {
		answer, ok := shard.Resp.(*kmsg.ListTransactionsResponse)
		err := shard.Err
		if err == nil && ok {
			err = kerr.ErrorForCode(answer.ErrorCode)
		}
		if err != nil {
			return failed(err, "Failed to list transactions")
		}
		for _, one := range answer.TransactionStates {
			rows = append(rows, []string{one.TransactionalID, strconv.Itoa(int(shard.Meta.NodeID)), number(one.ProducerID), one.TransactionState})
		}
	}
	slices.SortFunc(rows, func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	table.Print(s.Out, []string{"TransactionalId", "Coordinator", "ProducerId", "TransactionState"}, rows)
	return nil
}

func number[T int16 | int32 | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

// describe asks the coordinator of a transactional id, and says which broker that is.
func describe(ctx context.Context, s *session.Session, id string) (kmsg.DescribeTransactionsResponseTransactionState, int32, error) {
	request := kmsg.NewPtrDescribeTransactionsRequest()
	request.TransactionalIDs = []string{id}
	var none kmsg.DescribeTransactionsResponseTransactionState
	for _, shard := range s.Client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			return none, 0, shard.Err
		}
		answer, ok := shard.Resp.(*kmsg.DescribeTransactionsResponse)
		if !ok {
			continue
		}
		for _, one := range answer.TransactionStates {
			err := kerr.ErrorForCode(one.ErrorCode)
			if one.ErrorCode == kerr.TransactionalIDNotFound.Code {
				err = session.Refused(err, fmt.Sprintf("DescribeTransactions request for transactionalId `%s` failed because the ID could not be found", id))
			}
			return one, shard.Meta.NodeID, err
		}
	}
	return none, 0, fmt.Errorf("no broker told of %s", id)
}

// Describe prints the state of one transactional id as of now.
func Describe(ctx context.Context, s *session.Session, id string, now time.Time) error {
	one, coordinator, err := describe(ctx, s, id)
	if err != nil {
		return failed(err, "Failed to describe transaction state of transactional-id `%s`", id)
	}
	start, duration := none, none
	if one.StartTimestamp >= 0 {
		start, duration = number(one.StartTimestamp), number(now.UnixMilli()-one.StartTimestamp)
	}
	table.Print(s.Out, []string{"CoordinatorId", "TransactionalId", "ProducerId", "ProducerEpoch", "TransactionState", "TransactionTimeoutMs",
		"CurrentTransactionStartTimeMs", "TransactionDurationMs", "TopicPartitions"},
		[][]string{{number(coordinator), id, number(one.ProducerID), number(one.ProducerEpoch), one.State, number(one.TimeoutMillis),
			start, duration, strings.Join(partitionNames(one), ",")}})
	return nil
}

func partitionNames(one kmsg.DescribeTransactionsResponseTransactionState) []string {
	var all []session.Partition
	for _, topic := range one.Topics {
		for _, p := range topic.Partitions {
			all = append(all, session.Partition{Topic: topic.Topic, Partition: p})
		}
	}
	slices.SortFunc(all, session.ComparePartitions)
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.String()
	}
	return names
}

// Terminate aborts the transaction of an id, if one is open, by taking its producer's
// place: whoever used the id is fenced.
func Terminate(ctx context.Context, s *session.Session, id string) error {
	request := kmsg.NewPtrInitProducerIDRequest()
	request.TransactionalID = &id
	request.TransactionTimeoutMillis = 1
	request.ProducerID, request.ProducerEpoch = -1, -1
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		answer, err := request.RequestWith(ctx, s.Client)
		if err == nil {
			err = kerr.ErrorForCode(answer.ErrorCode)
		}
		if err == nil {
			return nil
		}
		if answer == nil || answer.ErrorCode != kerr.ConcurrentTransactions.Code {
			return failed(err, "Failed to force terminate transactionalId `%s`", id)
		}
		select { // the markers of the transaction are being written
		case <-ctx.Done():
			return failed(err, "Failed to force terminate transactionalId `%s`", id)
		case <-time.After(pause):
		}
	}
}
