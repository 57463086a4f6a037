package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/chain"
	"github.com/millrace/millrace/sdk/client"
	"github.com/millrace/millrace/sdk/kit"
)

func init() {
	sdk.Interceptors.Register("obeys", func(sdk.Config) (sdk.Interceptor, error) { return newObeys(), nil })
}

// burying is the settings of a producer whose interceptor has a dead-letter topic.
func burying(address string, more ...string) client.Config {
	return with(map[string]string{"bootstrap.servers": address, "interceptors": "obeys", "plugin.obeys.on.error": "dlq", "plugin.obeys.dlq.topic": "orders.bad"}, more...)
}

// lettersOf reads so many dead letters: value, and the headers that say why.
func lettersOf(t *testing.T, address, topic string, count int) (letters []string) {
	t.Helper()
	c, err := client.NewConsumer(client.Config{"bootstrap.servers": address, "auto.offset.reset": "earliest"}, client.ConsumerOptions[string, string]{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	defer func() {
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	if err := c.Assign(sdk.TopicPartition{Topic: topic}, sdk.TopicPartition{Topic: topic, Partition: 1}); err != nil {
		t.Fatal(err)
	}
	for len(letters) < count {
		records, err := c.Poll(ctx, time.Second)
		if err != nil || ctx.Err() != nil {
			t.Fatalf("after %d dead letters: %v", len(letters), errors.Join(err, ctx.Err()))
		}
		for _, r := range records {
			says := map[string]string{}
			for _, h := range r.Headers {
				says[h.Key] = string(h.Value)
			}
			if says[chain.HeaderTimestamp] == "" || says[chain.HeaderSequence] != "" {
				t.Errorf("a dead letter says %v", says)
			}
			letters = append(letters, fmt.Sprintf("%d: %s, %s says %q of %s-%s from %s", r.Partition, r.Value, says[chain.HeaderPlugin], says[chain.HeaderError],
				says[chain.HeaderTopic], says[chain.HeaderPartition], says[chain.HeaderClient]))
		}
	}
	slices.Sort(letters)
	return letters
}

// What an interceptor of a producer calls bad is stored in the dead-letter topic, and whoever sent it
// hears that it is there; what comes with it is stored where it belongs.
func TestDeadLettersOfAProducer(t *testing.T) {
	address := kit.Start(t, kit.Options{Topics: map[string]int32{"orders": 4, "orders.bad": 2}}).Address()
	for _, codec := range []string{"none", "zstd"} {
		p := valuesProducer(t, burying(address, "linger.ms", "30000", "compression.type", codec, "client.id", "shop"), client.ProducerOptions[string, string]{})
		var heard []string
		send := func(partition int32, values ...string) {
			for _, v := range values {
				p.SendFunc(t.Context(), &client.ProducerRecord[string, string]{Topic: "orders", Partition: new(partition), Value: v}, func(m sdk.RecordMetadata, err error) {
					if m.Offset < 0 {
						t.Errorf("%s has no offset", v)
					}
					heard = append(heard, fmt.Sprintf("%s: %s-%d %v", v, m.Topic, m.Partition, err))
				})
			}
			if err := p.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		send(3, "one", "bad two", "edit three", "bad four")
		send(2, "bad five")
		send(0, "six", "fault seven")
		slices.Sort(heard)
		want := []string{
			"bad five: orders.bad-0 <nil>", "bad four: orders.bad-1 <nil>", "bad two: orders.bad-1 <nil>", "edit three: orders-3 <nil>",
			"fault seven: orders.bad-0 <nil>", "one: orders-3 <nil>", "six: orders.bad-0 <nil>",
		}
		if !slices.Equal(heard, want) {
			t.Errorf("heard is\n%s\nwant\n%s", strings.Join(heard, "\n"), strings.Join(want, "\n"))
		}
		if n := p.Lost(); n != 0 {
			t.Errorf("%d records are lost", n)
		}
	}
	one := []string{
		`0: bad five, obeys says "as told" of orders-2 from shop`, `0: fault seven, obeys says "as told" of orders-0 from shop`, `0: six, obeys says "as told" of orders-0 from shop`,
		`1: bad four, obeys says "as told" of orders-3 from shop`, `1: bad two, obeys says "as told" of orders-3 from shop`,
	}
	want := slices.Sorted(slices.Values(slices.Concat(one, one)))
	if got := lettersOf(t, address, "orders.bad", len(want)); !slices.Equal(got, want) {
		t.Errorf("dead letters are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A dead letter that cannot be stored is the error of its record, and of no other.
func TestADeadLetterThatCannotBeStored(t *testing.T) {
	broker := kit.Start(t, kit.Options{Topics: map[string]int32{"orders": 1}, Settings: map[string]string{"auto.create.topics.enable": "false"}})
	for name, test := range map[string]struct {
		topic string
		more  []string
		want  error
	}{
		"its topic is not there": {"orders.bad", []string{"delivery.timeout.ms", "700", "request.timeout.ms", "500"}, client.ErrTimeout},
		"its topic cannot be":    {"no such name!", nil, kerr.InvalidTopicException},
	} {
		p := valuesProducer(t, burying(broker.Address(), append(test.more, "plugin.obeys.dlq.topic", test.topic, "linger.ms", "50", "retry.backoff.ms", "5")...), client.ProducerOptions[string, string]{})
		good := p.Send(t.Context(), &client.ProducerRecord[string, string]{Topic: "orders", Value: "good"})
		bad := p.Send(t.Context(), &client.ProducerRecord[string, string]{Topic: "orders", Value: "bad"})
		if err := p.Fire(t.Context(), &client.ProducerRecord[string, string]{Topic: "orders", Value: "bad too"}); err != nil {
			t.Fatal(err)
		}
		if m, err := good.Get(t.Context()); err != nil || m.Topic != "orders" {
			t.Errorf("%s: a record beside it: %+v, %v", name, m, err)
		}
		if m, err := bad.Get(t.Context()); !errors.Is(err, test.want) || m.Offset != -1 || !strings.Contains(err.Error(), test.topic+"-0") {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		if err := p.Close(t.Context()); err != nil || p.Lost() != 1 {
			t.Errorf("%s: %d records are lost, %v", name, p.Lost(), err)
		}
	}
}

// Close sends dead letters too, though nobody knows their topic yet.
func TestCloseSendsDeadLetters(t *testing.T) {
	address := kit.Start(t, kit.Options{Topics: map[string]int32{"orders": 1, "orders.bad": 2}}).Address()
	p := valuesProducer(t, burying(address, "linger.ms", "30000", "client.id", "shop"), client.ProducerOptions[string, string]{})
	for range 3 {
		if err := p.Fire(t.Context(), &client.ProducerRecord[string, string]{Topic: "orders", Value: "bad"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(t.Context()); err != nil || p.Lost() != 0 {
		t.Fatalf("%d records are lost, %v", p.Lost(), err)
	}
	if got := lettersOf(t, address, "orders.bad", 3); got[2] != `0: bad, obeys says "as told" of orders-0 from shop` {
		t.Errorf("dead letters are %v", got)
	}
}

// Dead letters go out also when they are more than the memory, and stand behind records that the program itself has for
// their topic: neither waits for the other.
func TestDeadLettersAndOwnRecordsInOneTopic(t *testing.T) {
	broker := kit.Start(t, kit.Options{Topics: map[string]int32{"orders": 1, "orders.bad": 1}})
	p := valuesProducer(t, burying(broker.Address(), "buffer.memory", "40000", "batch.size", "1000", "max.in.flight.requests.per.connection", "1",
		"delivery.timeout.ms", "6000", "request.timeout.ms", "3000", "linger.ms", "0"), client.ProducerOptions[string, string]{})
	broker.Inject(kit.Fault{Delay: 500 * time.Millisecond, Times: 3})
	long := strings.Repeat(".", 100)
	var failed, told int
	var last error
	send := func(topic, value string) {
		p.SendFunc(t.Context(), &client.ProducerRecord[string, string]{Topic: topic, Value: value}, func(_ sdk.RecordMetadata, err error) {
			if told++; err != nil {
				failed, last = failed+1, err
			}
		})
	}
	for i := range 1500 {
		if i%50 == 0 {
			send("orders.bad", fmt.Sprint("own ", i, long))
		}
		send("orders", fmt.Sprint("bad ", i, long))
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if told != 1530 || failed > 0 {
		t.Errorf("%d of %d records have failed, the last: %v", failed, told, last)
	}
}
