package sarama

import (
	"context"
	"fmt"

	kafka "github.com/IBM/sarama"
)

// transactional is a producer with a transactional id.
func (c client) transactional(id string) (kafka.SyncProducer, error) {
	o := config()
	o.Producer.Idempotent, o.Producer.RequiredAcks, o.Net.MaxOpenRequests = true, kafka.WaitForAll, 1
	o.Producer.Transaction.ID = c.Name(id)
	return kafka.NewSyncProducer([]string{c.Bootstrap}, o)
}

// transactions: what was committed is read, what was aborted is not, but by readers of everything.
func (c client) transactions(ctx context.Context) error {
	topic, err := c.topic("transactions", 1)
	if err != nil {
		return err
	}
	p, err := c.transactional("transactions")
	if err != nil {
		return err
	}
	defer p.Close()
	for i := range 10 {
		if err := p.BeginTxn(); err != nil {
			return fmt.Errorf("begin %d: %w", i, err)
		}
		for j := range 5 {
			if _, _, err := p.SendMessage(&kafka.ProducerMessage{Topic: topic, Value: kafka.StringEncoder(fmt.Sprintf("%d-%d", i, j))}); err != nil {
				return fmt.Errorf("send in %d: %w", i, err)
			}
		}
		end := p.CommitTxn
		if i%2 == 1 {
			end = p.AbortTxn
		}
		if err := end(); err != nil {
			return fmt.Errorf("end %d: %w", i, err)
		}
	}
	for isolation, want := range map[kafka.IsolationLevel]int{kafka.ReadUncommitted: 50, kafka.ReadCommitted: 25} {
		if err := c.isolated(ctx, topic, isolation, want); err != nil {
			return fmt.Errorf("isolation level %d: %w", isolation, err)
		}
	}
	return nil
}

// isolated reads as many records as there must be, and sees to it that none is of an aborted transaction.
func (c client) isolated(ctx context.Context, topic string, isolation kafka.IsolationLevel, want int) error {
	o := config()
	o.Consumer.IsolationLevel = isolation
	k, err := kafka.NewConsumer([]string{c.Bootstrap}, o)
	if err != nil {
		return err
	}
	defer k.Close()
	reader, err := k.ConsumePartition(topic, 0, kafka.OffsetOldest)
	if err != nil {
		return err
	}
	defer reader.Close()
	for n := range want {
		select {
		case m := <-reader.Messages():
			if i := int(m.Value[0] - '0'); isolation == kafka.ReadCommitted && (i%2 == 1 || n/5*2 != i) {
				return fmt.Errorf("record %d is %s", n, m.Value)
			}
		case err := <-reader.Errors():
			return err
		case <-ctx.Done():
			return fmt.Errorf("read %d of %d: %w", n, want, ctx.Err())
		}
	}
	return nil
}
