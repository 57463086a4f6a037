package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	kafka "github.com/IBM/sarama"
	"github.com/millrace/millrace/sdk/client"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// franz is the mechanism of l as franz-go has it.
func (l login) franz() sasl.Mechanism {
	switch l.mechanism {
	case "SCRAM-SHA-256":
		return scram.Auth{User: l.user, Pass: l.password}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		return scram.Auth{User: l.user, Pass: l.password}.AsSha512Mechanism()
	}
	return plain.Auth{User: l.user, Pass: l.password}.AsMechanism()
}

func franz(ctx context.Context, _ *stand, l login) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(l.address), kgo.SASL(l.franz()), kgo.AllowAutoTopicCreation(), kgo.ConsumeTopics(l.topic), kgo.RetryTimeout(10*time.Second))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Ping(ctx); errors.Is(err, kerr.SaslAuthenticationFailed) {
		return errRefused
	} else if err != nil {
		return err
	}
	if err := c.ProduceSync(ctx, &kgo.Record{Topic: l.topic, Value: []byte("one")}).FirstErr(); err != nil {
		return err
	}
	fetches := c.PollFetches(ctx)
	if err := fetches.Err(); err != nil || fetches.NumRecords() == 0 {
		return fmt.Errorf("read %d records: %w", fetches.NumRecords(), err)
	}
	return nil
}

// conversation lets Sarama, which has no SCRAM of its own, have franz-go's.
type conversation struct {
	mechanism sasl.Mechanism
	session   sasl.Session
	done      bool
}

// Begin is Sarama's; the login is known already.
func (c *conversation) Begin(_, _, _ string) error { return nil }

// Step is Sarama's.
func (c *conversation) Step(challenge string) (string, error) {
	var message []byte
	var err error
	if c.session == nil {
		c.session, message, err = c.mechanism.Authenticate(context.Background(), "")
	} else {
		c.done, message, err = c.session.Challenge([]byte(challenge))
	}
	return string(message), err
}

// Done is Sarama's.
func (c *conversation) Done() bool { return c.done }

func sarama(_ context.Context, _ *stand, l login) error { return withSarama(l, kafka.SASLHandshakeV1) }

// oldSarama sends its messages without headers, as clients did before Kafka 1.0. Who is not let in hears nothing.
func oldSarama(_ context.Context, _ *stand, l login) error {
	err := withSarama(l, kafka.SASLHandshakeV0)
	if err != nil && (errors.Is(err, io.EOF) || errors.Is(err, kafka.ErrOutOfBrokers)) {
		return errRefused
	}
	return err
}

func withSarama(l login, handshake int16) error {
	o := kafka.NewConfig()
	o.Net.SASL.Version, o.ApiVersionsRequest = handshake, handshake != kafka.SASLHandshakeV0
	o.Version, o.Producer.Return.Successes, o.Metadata.Retry.Max = kafka.MaxVersion, true, 1
	o.Net.SASL.Enable, o.Net.SASL.Mechanism, o.Net.SASL.User, o.Net.SASL.Password = true, kafka.SASLMechanism(l.mechanism), l.user, l.password
	o.Net.SASL.SCRAMClientGeneratorFunc = func() kafka.SCRAMClient { return &conversation{mechanism: l.franz()} }
	producer, err := kafka.NewSyncProducer([]string{l.address}, o)
	if errors.Is(err, kafka.ErrSASLAuthenticationFailed) {
		return errRefused
	}
	if err != nil {
		return err
	}
	defer producer.Close() //nolint:errcheck // it tells nothing that calls have not told before
	if _, _, err := producer.SendMessage(&kafka.ProducerMessage{Topic: l.topic, Value: kafka.StringEncoder("one")}); err != nil {
		return err
	}
	consumer, err := kafka.NewConsumer([]string{l.address}, o)
	if err != nil {
		return err
	}
	defer consumer.Close() //nolint:errcheck // it tells nothing that calls have not told before
	partition, err := consumer.ConsumePartition(l.topic, 0, kafka.OffsetOldest)
	if err != nil {
		return err
	}
	defer partition.Close() //nolint:errcheck // it tells nothing that calls have not told before
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	select {
	case m := <-partition.Messages():
		if string(m.Value) != "one" {
			return fmt.Errorf("read %q", m.Value)
		}
	case <-limit.C:
		return errors.New("nothing to read")
	}
	return nil
}

func sdkNative(ctx context.Context, _ *stand, l login) error { return ours(ctx, l, "native") }
func sdkFranz(ctx context.Context, _ *stand, l login) error  { return ours(ctx, l, "kgo") }

// ours is Millrace's own client, whose producer has two engines.
func ours(ctx context.Context, l login, engine string) error {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	config := client.Config{"bootstrap.servers": l.address, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": l.mechanism, "sasl.jaas.config": l.jaas(),
		"client.engine": engine, "max.block.ms": "3000"}
	producer, err := client.NewProducer[string, string](config, client.ProducerOptions[string, string]{Log: log})
	if err != nil {
		return err
	}
	defer producer.Close(ctx) //nolint:errcheck // what failed was told before
	_, err = producer.Send(ctx, &client.ProducerRecord[string, string]{Topic: l.topic, Value: "one"}).Get(ctx)
	if errors.Is(err, kerr.SaslAuthenticationFailed) {
		return errRefused
	}
	if err != nil {
		return err
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(l.address), kgo.SASL(l.franz()), kgo.ConsumeTopics(l.topic))
	if err != nil {
		return err
	}
	defer c.Close()
	if fetches := c.PollFetches(ctx); fetches.NumRecords() == 0 {
		return fmt.Errorf("nothing to read: %w", fetches.Err())
	}
	return nil
}
