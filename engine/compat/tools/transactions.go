package tools

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// transactions: an open transaction is listed, described, found in its partition and aborted there.
func (t *set) transactions(ctx context.Context) error {
	topic, id := t.Name("transactions"), t.Name("hangs")
	if err := t.create(ctx, topic, 1); err != nil {
		return err
	}
	k, err := kgo.NewClient(kgo.SeedBrokers(t.Bootstrap), kgo.TransactionalID(id), kgo.TransactionTimeout(10*time.Minute))
	if err != nil {
		return err
	}
	defer k.Close()
	if err := k.BeginTransaction(); err != nil {
		return err
	}
	if err := k.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err != nil {
		return err
	}
	row := regexp.QuoteMeta(id)
	for _, step := range []struct {
		arguments []string
		row       string
	}{
		{[]string{"list"}, row + `\s+1\s+\d+\s+Ongoing`},
		{[]string{"describe", "--transactional-id", id}, `1\s+` + row + `\s+\d+\s+\d+\s+Ongoing\s+\d+\s+\d+\s+\d+\s+` + regexp.QuoteMeta(topic) + `-0`},
		{[]string{"describe-producers", "--topic", topic, "--partition", "0"}, `\d+\s+\d+\s+(-1|\d+)\s+0\s+\d+\s+0`},
		{[]string{"find-hanging", "--topic", topic}, `Topic\s+Partition\s+ProducerId`},
	} {
		s := t.tool(ctx, "", "kafka-transactions", step.arguments...)
		if err := s.Err(); err != nil {
			return err
		}
		if !regexp.MustCompile(step.row).MatchString(s.out) {
			return s.wrong("no row %s", step.row)
		}
	}
	if err := t.tool(ctx, "", "kafka-transactions", "abort", "--topic", topic, "--partition", "0", "--start-offset", "0").Err(); err != nil {
		return err
	}
	s := t.tool(ctx, "", "kafka-transactions", "describe-producers", "--topic", topic, "--partition", "0")
	if !regexp.MustCompile(`\d+\s+\d+\s+\d+\s+-?\d+\s+\d+\s+None`).MatchString(s.out) {
		return s.wrong("the transaction is still open")
	}
	if err := s.Err(); err != nil {
		return err
	}
	if err := k.EndTransaction(ctx, kgo.TryAbort); err != nil {
		return fmt.Errorf("abort by the producer: %w", err)
	}
	return nil
}
