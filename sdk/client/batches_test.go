package client_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/plugins/dedupe"
	_ "github.com/millrace/millrace/plugins/mask"
	_ "github.com/millrace/millrace/plugins/wasm"
	_ "github.com/millrace/millrace/plugins/wasm/testdata/mask"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
	"github.com/millrace/millrace/sdk/kit"
)

const module = "../../plugins/wasm/testdata/mask.wasm"

// card is a record, and masked what becomes of it.
func card(i int) string { return fmt.Sprintf("record %d of 4111111111111111", i) }

func masked(i int) string { return fmt.Sprintf("record %d of ************1111", i) }

func sumOf(t testing.TB, path string) string {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// kitBroker is a broker that has the mask compiled in and as a module, for topics of their own.
func kitBroker(t testing.TB, settings map[string]string) string {
	all := map[string]string{"auto.create.topics.enable": "true"}
	maps.Copy(all, settings)
	return kit.Start(t, kit.Options{Settings: all}).Address()
}

// valuesProducer sends strings.
func valuesProducer(t testing.TB, config client.Config, o client.ProducerOptions[string, string]) *client.Producer[string, string] {
	t.Helper()
	p, err := client.NewProducer(config, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// readAll reads so many records.
func readAll(t testing.TB, config client.Config, topic string, count int) (values []string) {
	t.Helper()
	c, err := client.NewConsumer(config.With("auto.offset.reset", "earliest"), client.ConsumerOptions[string, string]{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	defer func() {
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	if err := c.Assign(sdk.TopicPartition{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	for len(values) < count {
		records, err := c.Poll(ctx, time.Second)
		if err != nil || ctx.Err() != nil {
			t.Fatalf("after %d records of %s: %v", len(values), topic, errors.Join(err, ctx.Err()))
		}
		for _, r := range records {
			values = append(values, r.Value)
		}
	}
	return values
}

// One interceptor, compiled in and as a module, in a broker, in a producer and in a consumer:
// who reads gets the same records.
func TestOneInterceptorInEveryPlace(t *testing.T) {
	const count = 40
	path, err := filepath.Abs(module)
	if err != nil {
		t.Fatal(err)
	}
	wasm := map[string]string{"type": "wasm", "path": path, "sha256": sumOf(t, path)}
	inSettings := func(name string, texts map[string]string) map[string]string {
		s := map[string]string{}
		for key, text := range texts {
			s["plugin."+name+"."+key] = text
		}
		return s
	}
	regex := map[string]string{"plugin.mask.config.regex": `\d{12}(\d{4})`, "plugin.mask.config.replacement": "************1111"}
	for place, test := range map[string]struct{ broker, producer, consumer map[string]string }{
		"compiled into the broker": {broker: map[string]string{"plugins": "mask16", "interceptors": "mask16"}},
		"a module in the broker":   {broker: with(inSettings("hide", wasm), "plugins", "hide", "interceptors", "hide", "plugin.dir", filepath.Dir(path))},
		"compiled into a producer": {producer: map[string]string{"interceptors": "mask16"}},
		"a module in a producer":   {producer: with(inSettings("hide", wasm), "interceptors", "hide")},
		"compiled into a consumer": {consumer: with(regex, "interceptors", "mask")},
	} {
		t.Run(place, func(t *testing.T) {
			address := kitBroker(t, test.broker)
			p := valuesProducer(t, with(test.producer, "bootstrap.servers", address), client.ProducerOptions[string, string]{})
			var futures []*client.Future
			for i := range count {
				futures = append(futures, p.Send(t.Context(), &client.ProducerRecord[string, string]{Topic: "cards", Partition: new(int32(0)), Value: card(i)}))
			}
			for i, f := range futures {
				if m, err := f.Get(t.Context()); err != nil || m.Offset != int64(i) {
					t.Fatalf("record %d: %+v, %v", i, m, err)
				}
			}
			for i, got := range readAll(t, with(test.consumer, "bootstrap.servers", address), "cards", count) {
				if got != masked(i) {
					t.Fatalf("record %d is %q", i, got)
				}
			}
		})
	}
}

func with(texts map[string]string, more ...string) client.Config {
	c := client.Config(maps.Clone(texts))
	if c == nil {
		c = client.Config{}
	}
	for i := 0; i+1 < len(more); i += 2 {
		c[more[i]] = more[i+1]
	}
	return c
}

// obeys does to each record what its value says, and counts how often it is closed.
type obeys struct {
	broken *atomic.Bool // OnFetch fails
	closed *atomic.Int32
}

func (o obeys) OnProduce(b *sdk.Batch) error { return o.obey(b) }

func (o obeys) OnFetch(b *sdk.Batch) error {
	if o.broken.Load() {
		return errors.New("as told")
	}
	return o.obey(b)
}

func (o obeys) Close() error {
	o.closed.Add(1)
	return nil
}

func (o obeys) obey(b *sdk.Batch) error {
	for i, v := range b.All() {
		switch {
		case strings.HasPrefix(string(v.Value), "drop"):
			b.Drop(i)
		case strings.HasPrefix(string(v.Value), "bad"):
			b.Fail(i, "as told")
		case strings.HasPrefix(string(v.Value), "fault"):
			return errors.New("as told")
		case strings.HasPrefix(string(v.Value), "edit"):
			b.SetValue(i, []byte("edited"))
			b.AddHeader(i, "by", []byte("obeys"))
		}
	}
	return nil
}

func newObeys() obeys { return obeys{new(atomic.Bool), new(atomic.Int32)} }

// What interceptors of a producer do to records is what their senders hear, in their order.
func TestInterceptorsOfAProducer(t *testing.T) {
	address := kitBroker(t, nil)
	o := newObeys()
	p, err := client.NewProducer(client.Config{"bootstrap.servers": address, "linger.ms": "30000", "compression.type": "lz4"},
		client.ProducerOptions[string, string]{BatchInterceptors: []sdk.Interceptor{o}})
	if err != nil {
		t.Fatal(err)
	}
	var heard []string
	send := func(values ...string) {
		for _, v := range values {
			p.SendFunc(t.Context(), &client.ProducerRecord[string, string]{Topic: "t", Partition: new(int32(0)), Value: v}, func(m sdk.RecordMetadata, err error) {
				what := fmt.Sprint(m.Offset)
				for _, one := range []error{kerr.InvalidRecord, kerr.PolicyViolation} {
					if errors.Is(err, one) {
						what = one.Error()[:14]
					}
				}
				heard = append(heard, v+": "+what)
			})
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	send("one", "drop two", "three", "edit four")
	send("drop five", "drop six")
	send("seven", "bad eight")
	send("fault nine")
	send("ten")
	want := []string{"one: 0", "drop two: -1", "three: 1", "edit four: 2", "drop five: -1", "drop six: -1", "seven: INVALID_RECORD", "bad eight: INVALID_RECORD", "fault nine: POLICY_VIOLATI", "ten: 3"}
	if !slices.Equal(heard, want) {
		t.Errorf("heard is %q, want %q", heard, want)
	}
	if got := readAll(t, client.Config{"bootstrap.servers": address}, "t", 4); !slices.Equal(got, []string{"one", "three", "edited", "ten"}) {
		t.Errorf("stored is %q", got)
	}
	if o.closed.Load() > 0 {
		t.Error("the interceptor was closed while it is used")
	}
	for range 2 {
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := o.closed.Load(); n != 1 {
		t.Errorf("the interceptor was closed %d times", n)
	}
}

// appends makes every value longer.
type appends struct{ sdk.Nop }

func (appends) OnProduce(b *sdk.Batch) error {
	for i, v := range b.All() {
		b.SetValue(i, append(slices.Clone(v.Value), 'x'))
	}
	return nil
}

// A batch that the broker finds too large is sent in parts, which interceptors have seen already.
func TestInterceptorsSeeABatchOnceThoughItIsSplit(t *testing.T) {
	const count = 400
	address := kitBroker(t, map[string]string{"message.max.bytes": "3000"})
	p := valuesProducer(t, client.Config{"bootstrap.servers": address, "linger.ms": "1000", "retry.backoff.ms": "1"},
		client.ProducerOptions[string, string]{BatchInterceptors: []sdk.Interceptor{appends{}}})
	for i := range count {
		if err := p.Fire(t.Context(), &client.ProducerRecord[string, string]{Topic: "t", Partition: new(int32(0)), Value: fmt.Sprintf("a value that has the number %d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, got := range readAll(t, client.Config{"bootstrap.servers": address}, "t", count) {
		if want := fmt.Sprintf("a value that has the number %dx", i); got != want {
			t.Fatalf("record %d is %q", i, got)
		}
	}
}

// A transaction that an interceptor keeps a record out of cannot be committed; one that loses
// records by intent can.
func TestInterceptorsInTransactions(t *testing.T) {
	address := kitBroker(t, nil)
	p := valuesProducer(t, client.Config{"bootstrap.servers": address, "transactional.id": "x"},
		client.ProducerOptions[string, string]{BatchInterceptors: []sdk.Interceptor{newObeys()}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.InitTransactions(ctx); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		value string
		spoil bool
	}{{"one", false}, {"bad two", true}, {"drop three", false}, {"four", false}} {
		if err := p.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		p.Send(ctx, &client.ProducerRecord[string, string]{Topic: "t", Partition: new(int32(0)), Value: step.value})
		err := p.CommitTransaction(ctx)
		if step.spoil != errors.Is(err, client.ErrAbort) || !step.spoil && err != nil {
			t.Fatalf("commit of %q: %v", step.value, err)
		}
		if step.spoil {
			if err := p.AbortTransaction(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := readAll(t, client.Config{"bootstrap.servers": address, "isolation.level": "read_committed"}, "t", 2); !slices.Equal(got, []string{"one", "four"}) {
		t.Errorf("stored is %q", got)
	}
}

// What interceptors of a consumer leave out is passed by; when one fails the consumer stays
// where it is, and says so.
func TestInterceptorsOfAConsumer(t *testing.T) {
	address := kitBroker(t, nil)
	p := valuesProducer(t, client.Config{"bootstrap.servers": address}, client.ProducerOptions[string, string]{})
	for _, v := range []string{"one", "drop two", "edit three", "drop four"} {
		p.Send(t.Context(), &client.ProducerRecord[string, string]{Topic: "t", Partition: new(int32(0)), Value: v})
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := newObeys()
	o.broken.Store(true)
	c, err := client.NewConsumer(client.Config{"bootstrap.servers": address, "auto.offset.reset": "earliest"},
		client.ConsumerOptions[string, string]{BatchInterceptors: []sdk.Interceptor{o}})
	if err != nil {
		t.Fatal(err)
	}
	at := sdk.TopicPartition{Topic: "t"}
	if err := c.Assign(at); err != nil {
		t.Fatal(err)
	}
	poll := func() (got []string, err error) {
		records, err := c.Poll(t.Context(), 5*time.Second)
		for _, r := range records {
			got = append(got, fmt.Sprintf("%d: %s %v", r.Offset, r.Value, r.Headers))
		}
		return got, err
	}
	for range 2 {
		if got, err := poll(); len(got) > 0 || err == nil || !strings.Contains(err.Error(), "as told") {
			t.Fatalf("a consumer whose interceptor fails reads %v, %v", got, err)
		}
	}
	o.broken.Store(false)
	got, err := poll()
	if want := []string{"0: one []", "2: edited [{by [111 98 101 121 115]}]"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("read is %q, %v, want %q", got, err, want)
	}
	if n, err := c.Position(t.Context(), at); err != nil || n != 4 {
		t.Errorf("the position is %d, %v, want that behind what was dropped, 4", n, err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := o.closed.Load(); n != 1 {
		t.Errorf("the interceptor was closed %d times", n)
	}
}

func TestInterceptorsThatAClientCannotHave(t *testing.T) {
	for why, c := range map[string]client.Config{
		"client.engine=native":            {"client.engine": "kgo", "interceptors": "mask16"},
		"needs dlq.topic":                 {"interceptors": "mask16", "plugin.mask16.on.error": "dlq"},
		"transactional.id":                {"interceptors": "mask16", "plugin.mask16.on.error": "dlq", "plugin.mask16.dlq.topic": "bad", "transactional.id": "x"},
		`unknown error policy "ignore"`:   {"interceptors": "mask16", "plugin.mask16.on.error": "ignore"},
		"fail_closed":                     {"interceptors": "mask", "plugin.mask.on.error": "skip", "plugin.mask.config.regex": "x"},
		"the numbers of producers":        {"interceptors": "dedupe"},
		`no interceptor "nobody"`:         {"interceptors": "nobody"},
		`unknown setting "config.fields"`: {"interceptors": "mask16", "plugin.mask16.config.fields": "x"},
	} {
		c["bootstrap.servers"] = "127.0.0.1:1"
		_, err := client.NewProducer(c, client.ProducerOptions[string, string]{})
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
	one, err := dedupe.New(sdk.NewConfig(nil))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.NewProducer(client.Config{"bootstrap.servers": "127.0.0.1:1"}, client.ProducerOptions[string, string]{BatchInterceptors: []sdk.Interceptor{one}})
	if err == nil || !strings.Contains(err.Error(), "a client cannot run it") {
		t.Errorf("given as a value: %v", err)
	}
	_, err = client.NewConsumer(client.Config{"bootstrap.servers": "127.0.0.1:1", "interceptors": "mask16", "plugin.mask16.on.error": "dlq", "plugin.mask16.dlq.topic": "bad"},
		client.ConsumerOptions[string, string]{})
	if err == nil || !strings.Contains(err.Error(), "a consumer stores nothing") {
		t.Errorf("dead letters of a consumer: %v", err)
	}
}
