package kit_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/client"
	"github.com/millrace/millrace/sdk/kit"
)

// The examples of docs/kit.md, word for word.

func TestOrdersArrive(t *testing.T) {
	b := kit.Start(t, kit.Options{Topics: map[string]int32{"orders": 3}})

	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address()), kgo.ConsumeTopics("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("one tea")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	fetches := client.PollFetches(ctx)
	if n := fetches.NumRecords(); n != 1 {
		t.Fatalf("%d records, want 1", n)
	}
}

func TestOrdersArriveByOurClient(t *testing.T) {
	b := kit.Start(t, kit.Options{Topics: map[string]int32{"orders": 3}})
	ctx := context.Background()

	producer, err := client.NewProducer(client.Config{"bootstrap.servers": b.Address()}, client.ProducerOptions[string, string]{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := producer.Send(ctx, &client.ProducerRecord[string, string]{Topic: "orders", Value: "one tea"}).Get(ctx); err != nil {
		t.Fatal(err)
	}
	if err := producer.Close(ctx); err != nil {
		t.Fatal(err)
	}

	consumer, err := client.NewConsumer(client.Config{
		"bootstrap.servers": b.Address(), "group.id": "kitchen", "auto.offset.reset": "earliest",
	}, client.ConsumerOptions[string, string]{})
	if err != nil {
		t.Fatal(err)
	}
	if err := consumer.Subscribe([]string{"orders"}, nil); err != nil {
		t.Fatal(err)
	}
	var orders []*client.ConsumerRecord[string, string]
	for len(orders) == 0 {
		if orders, err = consumer.Poll(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if len(orders) != 1 || orders[0].Value != "one tea" {
		t.Fatalf("%d records, want one tea", len(orders))
	}
	if err := consumer.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestOldOrdersAreForgotten(t *testing.T) {
	b := kit.Start(t, kit.Options{
		Settings: map[string]string{"log.retention.hours": "24"},
		Topics:   map[string]int32{"orders": 1},
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("one tea")}).FirstErr(); err != nil {
		t.Fatal(err)
	}

	b.Advance(25 * time.Hour) // takes milliseconds

	starts, err := kadm.NewClient(client).ListStartOffsets(ctx, "orders")
	if err != nil {
		t.Fatal(err)
	}
	if first, _ := starts.Lookup("orders", 0); first.Offset != 1 {
		t.Fatalf("the log begins at %d, want 1", first.Offset)
	}
}

func TestAnOrderSurvivesABadDay(t *testing.T) {
	b := kit.Start(t, kit.Options{Topics: map[string]int32{"orders": 1}})
	b.Inject(kit.Fault{Lose: true})                                               // the first produce never arrives,
	b.Inject(kit.Fault{Withhold: 20 * time.Millisecond})                          // the second is stored, and nobody hears of it,
	b.Inject(kit.Fault{Refuse: kerr.NotLeaderForPartition, Times: 2})             // then the leader seems to be elsewhere,
	b.Inject(kit.Fault{Key: int16(kmsg.Metadata), Delay: 100 * time.Millisecond}) // and it takes a while to learn that it is not.

	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address()), kgo.ConsumeTopics("orders"), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("one tea")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if n := client.PollFetches(ctx).NumRecords(); n != 1 {
		t.Fatalf("%d records, want 1", n)
	}
}

func TestTheDocsAreTheseExamples(t *testing.T) {
	page, err := os.ReadFile("../../docs/kit.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("docs_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```go\n")[1:]
	if len(blocks) < 4 {
		t.Fatalf("docs/kit.md has %d examples, want four", len(blocks))
	}
	for _, block := range blocks {
		example, _, _ := strings.Cut(block, "```")
		if !strings.Contains(string(code), example) {
			t.Errorf("docs/kit.md has an example that no test runs as it stands:\n%s", example)
		}
	}
}
