package registry_test

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/serde/registry"
	"github.com/millrace/millrace/sdk/serde/registry/registrytest"
)

type thing struct {
	Name string `json:"name"`
}

const thingSchema = `{"title":"Thing","type":"object"}`

func init() { registry.RegisterJSON[thing](thingSchema) }

// made is the serde "json-registry" with these settings.
func made(t *testing.T, host map[string]string) (sdk.Serializer[thing], sdk.Deserializer[thing]) {
	t.Helper()
	out, err := sdk.Serializers[thing]().New("json-registry", sdk.NewConfig(nil).Over(host))
	if err != nil {
		t.Fatal(err)
	}
	in, err := sdk.Deserializers[thing]().New("json-registry", sdk.NewConfig(nil).Over(host))
	if err != nil {
		t.Fatal(err)
	}
	return out, in
}

func TestASchemaIsRegisteredOnce(t *testing.T) {
	s := registrytest.Start(t)
	out, in := made(t, map[string]string{"schema.registry.url": s.URL})
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if b, err := out.Append([]byte("x"), "orders", nil, thing{"a"}); err != nil || string(b) != "x\x00\x00\x00\x00\x01"+`{"name":"a"}` {
				t.Errorf("written is %q, %v", b, err)
			}
		})
	}
	all.Wait()
	if n := s.Asked("POST /subjects/orders-value/versions"); n != 1 {
		t.Errorf("the schema was registered %d times", n)
	}
	v, err := in.Decode("orders", nil, []byte("\x00\x00\x00\x00\x01"+`{"name":"a"}`))
	if err != nil || v.Name != "a" {
		t.Errorf("read is %v, %v", v, err)
	}
	if _, err := in.Decode("orders", nil, []byte(`{"name":"a"}`)); !errors.Is(err, registry.ErrNotFramed) {
		t.Errorf("bytes without an id: %v", err)
	}
	if v, err := in.Decode("orders", nil, nil); err != nil || v != (thing{}) {
		t.Errorf("null: %v, %v", v, err)
	}
}

func TestSubjects(t *testing.T) {
	for want, host := range map[string]map[string]string{
		"orders-value": {},
		"orders-key":   {"part": "key"},
		"Thing":        {"value.subject.name.strategy": "io.confluent.kafka.serializers.subject.RecordNameStrategy"},
		"orders-Thing": {"part": "key", "key.subject.name.strategy": "TopicRecordNameStrategy", "value.subject.name.strategy": "RecordNameStrategy"},
	} {
		s := registrytest.Start(t)
		host["schema.registry.url"] = s.URL
		out, _ := made(t, host)
		if _, err := out.Append(nil, "orders", nil, thing{}); err != nil {
			t.Error(err)
		}
		if got := s.Subjects(); !slices.Equal(got, []string{want}) {
			t.Errorf("with %v the subjects are %q, want %s", host, got, want)
		}
	}
}

// Without a title a record has no name, and no subject of that name.
func TestARecordWithoutAName(t *testing.T) {
	for _, strategy := range []string{"RecordNameStrategy", "TopicRecordNameStrategy"} {
		s := registrytest.Start(t)
		settings, err := registry.Read(sdk.NewConfig(map[string]string{"schema.registry.url": s.URL, "value.subject.name.strategy": strategy}))
		if err != nil {
			t.Fatal(err)
		}
		out, err := registry.NewSerde(registry.JSON[thing]{Text: `{"type":"object"}`}, settings)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Append(nil, "orders", nil, thing{}); err == nil || !strings.Contains(err.Error(), "title") {
			t.Errorf("%s: %v", strategy, err)
		}
		if got := s.Subjects(); len(got) != 0 {
			t.Errorf("%s: the subjects are %q", strategy, got)
		}
	}
}

// Who one address knows is no business of the next.
func TestPasswordsStayWithTheirAddress(t *testing.T) {
	var told []string
	serve := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			user, password, _ := q.BasicAuth()
			told = append(told, user+":"+password)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"id":1}`))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	down, up := serve(500), serve(200)
	c, err := registry.New(registry.Options{URLs: []string{strings.Replace(down, "//", "//ann:secret@", 1), up}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Register(t.Context(), "orders-value", registry.Schema{Type: "JSON", Text: "true"}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"ann:secret", ":"}; !slices.Equal(told, want) {
		t.Errorf("the addresses were told %q, want %q", told, want)
	}
}

func TestWithoutRegistering(t *testing.T) {
	s := registrytest.Start(t)
	host := map[string]string{"schema.registry.url": s.URL, "auto.register.schemas": "false"}
	out, _ := made(t, host)
	_, err := out.Append(nil, "orders", nil, thing{})
	var refused *registry.Error
	if !errors.As(err, &refused) || refused.Code != 40401 || !strings.Contains(err.Error(), "look up a schema of subject orders-value") {
		t.Fatalf("a subject that is not there: %v", err)
	}
	c, err := registry.New(registry.Options{URLs: []string{s.URL}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Register(t.Context(), "orders-value", registry.Schema{Type: "JSON", Text: thingSchema}); err != nil {
		t.Fatal(err)
	}
	if b, err := out.Append(nil, "orders", nil, thing{}); err != nil || b[4] != 1 { // an error is not remembered
		t.Errorf("written is %q, %v", b, err)
	}
	if _, err := c.Register(t.Context(), "orders-value", registry.Schema{Type: "JSON", Text: "true"}); err != nil {
		t.Fatal(err)
	}
	host["use.latest.version"] = "true"
	out, _ = made(t, host)
	if b, err := out.Append(nil, "orders", nil, thing{}); err != nil || b[4] != 2 {
		t.Errorf("by the newest version written is %q, %v", b, err)
	}
}

func TestTheNewestVersionGrowsOld(t *testing.T) {
	s := registrytest.Start(t)
	c, err := registry.New(registry.Options{URLs: []string{s.URL}, LatestTTL: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	for want := 1; want <= 2; want++ {
		if _, err := c.Register(t.Context(), "a/b", registry.Schema{Text: strings.Repeat(" ", want) + `"int"`}); err != nil {
			t.Fatal(err)
		}
		if r, err := c.Version(t.Context(), "a/b", 0); err != nil || r.Version != want || r.ID != want {
			t.Errorf("the newest is %+v, %v", r, err)
		}
	}
	if r, err := c.Version(t.Context(), "a/b", 1); err != nil || r.ID != 1 || r.Subject != "a/b" {
		t.Errorf("version 1 is %+v, %v", r, err)
	}
	if r, err := c.Lookup(t.Context(), "a/b", registry.Schema{Text: ` "int"`}); err != nil || r.Version != 1 {
		t.Errorf("looked up is %+v, %v", r, err)
	}
	for range 3 {
		if schema, err := c.ByID(t.Context(), 2); err != nil || schema.Text != `  "int"` {
			t.Errorf("schema 2 is %+v, %v", schema, err)
		}
	}
	if n := s.Asked("GET /schemas/ids/2"); n != 1 {
		t.Errorf("schema 2 was asked for %d times", n)
	}
}

func TestRegistriesThatRefuse(t *testing.T) {
	s := registrytest.Start(t)
	s.Protect("me", "secret")
	host := map[string]string{"schema.registry.url": s.URL}
	out, _ := made(t, host)
	if _, err := out.Append(nil, "orders", nil, thing{}); err == nil || !strings.Contains(err.Error(), "check basic.auth.user.info") {
		t.Errorf("without a password: %v", err)
	}
	for name, host := range map[string]map[string]string{
		"settings": {"schema.registry.url": s.URL, "basic.auth.credentials.source": "USER_INFO", "basic.auth.user.info": "me:secret"},
		"older":    {"schema.registry.url": s.URL, "basic.auth.credentials.source": "USER_INFO", "schema.registry.basic.auth.user.info": "me:secret"},
		"url":      {"schema.registry.url": strings.Replace(s.URL, "http://", "http://me:secret@", 1)},
	} {
		out, _ := made(t, host)
		if _, err := out.Append(nil, "orders", nil, thing{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "try later", http.StatusBadGateway) }))
	defer proxy.Close()
	out, _ = made(t, map[string]string{"schema.registry.url": proxy.URL})
	if _, err := out.Append(nil, "orders", nil, thing{}); err == nil || !strings.Contains(err.Error(), "502 Bad Gateway try later") {
		t.Errorf("a proxy without a registry: %v", err)
	}
	out, _ = made(t, map[string]string{"schema.registry.url": proxy.URL + "," + strings.Replace(s.URL, "http://", "http://me:secret@", 1)})
	if _, err := out.Append(nil, "orders", nil, thing{}); err != nil {
		t.Errorf("name and password of one address are for all: %v", err)
	}
}

func TestASecondRegistryAnswers(t *testing.T) {
	one, two := registrytest.Start(t), registrytest.Start(t)
	one.Break(1)
	out, _ := made(t, map[string]string{"schema.registry.url": one.URL + ", " + two.URL})
	if _, err := out.Append(nil, "orders", nil, thing{}); err != nil || len(two.Subjects()) != 1 {
		t.Errorf("the second registry has %q, %v", two.Subjects(), err)
	}
}

func TestARegistryThatIsSilent(t *testing.T) {
	hung := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hung }))
	defer s.Close()
	defer close(hung)
	out, _ := made(t, map[string]string{"schema.registry.url": s.URL, "http.read.timeout.ms": "50"})
	if _, err := out.Append(nil, "orders", nil, thing{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after 50 ms: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err := registry.New(registry.Options{URLs: []string{s.URL}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ByID(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("when nobody waits: %v", err)
	}
}

func TestSettings(t *testing.T) {
	for want, host := range map[string]map[string]string{
		"schema.registry.url is missing":       {},
		"is no address such as":                {"schema.registry.url": "registry:8081"},
		"value.subject.name.strategy: Mine is": {"schema.registry.url": "http://r", "value.subject.name.strategy": "Mine"},
		"basic.auth.user.info: it is name":     {"schema.registry.url": "http://r", "basic.auth.credentials.source": "USER_INFO"},
		"auto.register.schemas=perhaps is not": {"schema.registry.url": "http://r", "auto.register.schemas": "perhaps"},
	} {
		if _, err := sdk.Serializers[thing]().New("json-registry", sdk.NewConfig(nil).Over(host)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %v: %v, want %s", host, err, want)
		}
	}
}

// The bytes of indexes are those of Confluent's serializers.
func TestIndexes(t *testing.T) {
	for want, path := range map[string][]int{"00": {0}, "0202": {1}, "040200": {1, 0}, "06020480" + "02": {1, 2, 128}} {
		got := registry.AppendIndexes(nil, path)
		if hex.EncodeToString(got) != want {
			t.Errorf("%v is %x, want %s", path, got, want)
		}
		back, rest, err := registry.SplitIndexes(append(got, 'x'))
		if err != nil || !slices.Equal(back, path) || string(rest) != "x" {
			t.Errorf("%x is read as %v, %q, %v", got, back, rest, err)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x01\x00abc"))
	f.Add([]byte("\x00\x00\x00\x00\x01\x04\x02\x00"))
	fuzz.Run(f, func(t *testing.T, data []byte) {
		id, payload, err := registry.SplitID(data)
		if err != nil {
			return
		}
		if again := append(registry.AppendID(nil, id), payload...); string(again) != string(data) {
			t.Fatalf("%x is read as %d and %x", data, id, payload)
		}
		path, rest, err := registry.SplitIndexes(payload)
		if err != nil {
			return
		}
		back, after, err := registry.SplitIndexes(append(registry.AppendIndexes(nil, path), rest...))
		if err != nil || !slices.Equal(back, path) || string(after) != string(rest) {
			t.Fatalf("%x: indexes %v become %v, %v", data, path, back, err)
		}
	})
}
