package client_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/config"
	_ "github.com/millrace/millrace/plugins/standard"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
)

// exampleBroker is a broker in the process. Programs have one elsewhere.
func exampleBroker() (address string, stop func()) {
	folder, err := os.MkdirTemp("", "millrace-example-")
	if err != nil {
		log.Fatal(err)
	}
	settings, err := config.Parse("", "", []string{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + folder, "admin.listener=", "log.journal.bytes=0"})
	if err != nil {
		log.Fatal(err)
	}
	b, err := engine.Start(engine.Options{Settings: settings, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	return b.Addresses()[0], func() {
		if err := b.Stop(context.Background()); err != nil {
			log.Print(err)
		}
		if err := os.RemoveAll(folder); err != nil {
			log.Print(err)
		}
	}
}

// closeIt sends what is left.
func closeIt(ctx context.Context, producer interface{ Close(context.Context) error }) {
	if err := producer.Close(ctx); err != nil {
		log.Print(err)
	}
}

func ExampleProducer_Fire() {
	address, stop := exampleBroker()
	defer stop()
	ctx := context.Background()

	producer, err := client.NewProducer(client.Config{
		"bootstrap.servers": address,
		"compression.type":  "lz4",
		"linger.ms":         "10",
	}, client.ProducerOptions[string, string]{})
	if err != nil {
		log.Fatal(err)
	}
	for i := range 1000 {
		record := client.ProducerRecord[string, string]{Topic: "clicks", Key: fmt.Sprint("user ", i%10), Value: "home"}
		if err := producer.Fire(ctx, &record); err != nil {
			log.Fatal(err) // closed, too large, no memory within max.block.ms, …
		}
	}
	if err := producer.Close(ctx); err != nil { // sends what is left
		log.Fatal(err)
	}
	fmt.Println("sent")
	// Output: sent
}

func ExampleProducer_Send() {
	address, stop := exampleBroker()
	defer stop()
	ctx := context.Background()
	producer, err := client.NewProducer(client.Config{"bootstrap.servers": address}, client.ProducerOptions[string, []byte]{})
	if err != nil {
		log.Fatal(err)
	}
	defer closeIt(ctx, producer) // Close, and its error logged

	var futures []*client.Future
	for i := range 3 {
		futures = append(futures, producer.Send(ctx, &client.ProducerRecord[string, []byte]{
			Topic: "orders", Key: "one customer", Value: fmt.Appendf(nil, "order %d", i),
			Headers: []sdk.Header{{Key: "source", Value: []byte("web")}},
		}))
	}
	for _, future := range futures {
		where, err := future.Get(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("offset", where.Offset)
	}
	// Output:
	// offset 0
	// offset 1
	// offset 2
}

func ExampleProducer_SendFunc() {
	address, stop := exampleBroker()
	defer stop()
	ctx := context.Background()
	producer, err := client.NewProducer(client.Config{"bootstrap.servers": address}, client.ProducerOptions[[]byte, string]{})
	if err != nil {
		log.Fatal(err)
	}
	defer closeIt(ctx, producer) // Close, and its error logged

	record := client.ProducerRecord[[]byte, string]{Topic: "audit", Partition: new(int32(0)), Value: "logged in", Timestamp: time.Now()}
	producer.SendFunc(ctx, &record, func(where sdk.RecordMetadata, err error) {
		if err != nil {
			fmt.Println("lost:", err)
			return
		}
		fmt.Printf("%s-%d at offset %d\n", where.Topic, where.Partition, where.Offset)
	})
	if err := producer.Flush(ctx); err != nil { // waits for the callback too
		log.Fatal(err)
	}
	// Output: audit-0 at offset 0
}

func ExampleProducer_BeginTransaction() {
	address, stop := exampleBroker()
	defer stop()
	ctx := context.Background()

	producer, err := client.NewProducer(client.Config{
		"bootstrap.servers": address,
		"transactional.id":  "transfers-1",
	}, client.ProducerOptions[string, string]{})
	if err != nil {
		log.Fatal(err)
	}
	defer closeIt(ctx, producer) // Close, and its error logged
	if err := producer.InitTransactions(ctx); err != nil {
		log.Fatal(err)
	}
	if err := producer.BeginTransaction(); err != nil {
		log.Fatal(err)
	}
	producer.Send(ctx, &client.ProducerRecord[string, string]{Topic: "accounts", Key: "ann", Value: "-10"})
	producer.Send(ctx, &client.ProducerRecord[string, string]{Topic: "accounts", Key: "bob", Value: "+10"})
	if err := producer.CommitTransaction(ctx); err != nil { // also when one of the two failed
		if err := producer.AbortTransaction(ctx); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("both or none")
	// Output: both or none
}

// point is a value with a serializer of its own.
type point struct{ x, y int }

type pointSerializer struct{}

func (pointSerializer) Append(dst []byte, _ string, _ *[]sdk.Header, p point) ([]byte, error) {
	return fmt.Appendf(dst, "%d,%d", p.x, p.y), nil
}

func ExampleProducerOptions() {
	address, stop := exampleBroker()
	defer stop()
	ctx := context.Background()

	producer, err := client.NewProducer(client.Config{
		"bootstrap.servers": address,
		"partitioner.class": "round-robin", // of plugins/standard, which the program imports
	}, client.ProducerOptions[[]byte, point]{ValueSerializer: pointSerializer{}})
	if err != nil {
		log.Fatal(err)
	}
	defer closeIt(ctx, producer) // Close, and its error logged
	where, err := producer.Send(ctx, &client.ProducerRecord[[]byte, point]{Topic: "points", Value: point{3, 4}}).Get(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("offset", where.Offset)
	// Output: offset 0
}

func ExampleConfig_deadLetters() {
	address, stop := exampleBroker()
	defer stop()
	ctx := context.Background()

	producer, err := client.NewProducer(client.Config{
		"bootstrap.servers":                 address,
		"interceptors":                      "orders",
		"plugin.orders.type":                "json-schema",
		"plugin.orders.config.schema":       `{"type": "object", "required": ["id"]}`,
		"plugin.orders.on.error":            "dlq",
		"plugin.orders.dlq.topic":           "orders.bad",
		"plugin.orders.breaker.faults":      "10", // in ten seconds switch it off, for half a minute
		"plugin.orders.breaker.cooldown.ms": "30000",
	}, client.ProducerOptions[string, string]{})
	if err != nil {
		log.Fatal(err)
	}
	good := producer.Send(ctx, &client.ProducerRecord[string, string]{Topic: "orders", Value: `{"id": 1}`})
	bad := producer.Send(ctx, &client.ProducerRecord[string, string]{Topic: "orders", Value: `{"name": "no id"}`})
	for _, future := range []*client.Future{good, bad} {
		where, err := future.Get(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("stored in", where.Topic) // orders, and orders.bad
	}
	closeIt(ctx, producer)
	// Output:
	// stored in orders
	// stored in orders.bad
}
