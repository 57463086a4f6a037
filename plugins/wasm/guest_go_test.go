package wasm

import (
	"errors"
	"strings"
	"testing"

	goguest "github.com/millrace/millrace/plugins/wasm/guest"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// scripted does to a batch what a function says.
type scripted struct {
	sdk.Nop
	f func(b *sdk.Batch) error
}

func (s *scripted) OnProduce(b *sdk.Batch) error { return s.f(b) }

var script = &scripted{}

func init() {
	sdk.Interceptors.Register("scripted", func(c sdk.Config) (sdk.Interceptor, error) {
		if c.String("find", "") == "nothing" {
			return nil, errors.New("nothing to find")
		}
		return script, nil
	})
}

// The guest in Go, as it runs in a module, against the host's reader of lists.
func TestAGuestInGoSaysWhatItsPluginDid(t *testing.T) {
	header := func(key, value string) batch.Header { return batch.Header{Key: key, Value: []byte(value)} }
	for name, test := range map[string]struct {
		f    func(b *sdk.Batch) error
		want string
		err  error
	}{
		"nothing":        {func(*sdk.Batch) error { return nil }, "0 k=a, 1 k=b, 2 k=c", nil},
		"the same again": {func(b *sdk.Batch) error { return again(b) }, "0 k=a, 1 k=b, 2 k=c", nil},
		"a value":        {func(b *sdk.Batch) error { b.SetValue(1, []byte("new")); return nil }, "0 k=a, 1 k=new, 2 k=c", nil},
		"null and empty": {func(b *sdk.Batch) error { b.SetKey(1, nil); b.SetValue(1, []byte{}); return nil }, "0 k=a, 1 =, 2 k=c", nil},
		"headers": {func(b *sdk.Batch) error {
			b.AddHeader(0, "h", []byte("x"))
			b.SetHeaders(2, []batch.Header{header("i", "y"), header("j", "z")})
			return nil
		}, "0 k=a h:x, 1 k=b, 2 k=c i:y j:z", nil},
		"odd headers": {func(b *sdk.Batch) error {
			b.SetHeaders(1, []batch.Header{header("\xff", "x")})
			return nil
		}, "", ErrOutput},
		"fates":       {func(b *sdk.Batch) error { b.Drop(0); b.Route(1, "other"); b.Fail(2, "bad"); return nil }, "", nil},
		"a rejection": {func(*sdk.Batch) error { return sdk.Reject("no") }, "", &sdk.Rejection{}},
		"a fault":     {func(*sdk.Batch) error { return errors.New("broken") }, "", ErrGuest},
	} {
		t.Run(name, func(t *testing.T) {
			script.f = test.f
			g := goguest.New("interceptor", "scripted")
			g.Alloc(1 << 10)
			if wrong := g.Configure(0); wrong != nil {
				t.Fatalf("it refuses its settings: %s", wrong)
			}
			b := records(t, "a", "b", "c")
			shown := whole(b)
			size := shown.size(b)
			shown.encode(g.Alloc(uint32(size)), b)
			if shown.list = g.OnProduce(uint32(size)); shown.list == nil {
				shown.list = listOf(0)
			}
			var reader edits
			err := reader.apply(b, shown)
			var rejected *sdk.Rejection
			switch {
			case errors.As(test.err, &rejected):
				if !errors.As(err, &rejected) || rejected.Reason != "no" {
					t.Errorf("got %v", err)
				}
				return
			case !errors.Is(err, test.err):
				t.Fatalf("got %v, want %v", err, test.err)
			case err != nil:
				return
			}
			if text(b) != test.want {
				t.Errorf("the batch is %q, want %q", text(b), test.want)
			}
		})
	}
}

func TestAGuestInGoGetsItsSettings(t *testing.T) {
	g := goguest.New("interceptor", "scripted")
	settings := []byte("\x04\x00\x00\x00find\x07\x00\x00\x00nothing")
	copy(g.Alloc(64), settings)
	if wrong := string(g.Configure(uint32(len(settings)))); !strings.Contains(wrong, "nothing to find") {
		t.Errorf("got %q", wrong)
	}
	if wrong := string(g.Configure(uint32(len(settings) - 1))); !strings.Contains(wrong, "cut short") {
		t.Errorf("got %q", wrong)
	}
	if wrong := string(goguest.New("interceptor", "").Configure(0)); !strings.Contains(wrong, "say which with --name") {
		t.Errorf("a module with two interceptors: %q", wrong)
	}
}

// again sets a value to what it is.
func again(b *sdk.Batch) error {
	for i, v := range b.All() {
		b.SetValue(i, v.Value)
	}
	return nil
}

type guardian struct{ sdk.Nop }

func (guardian) FailClosed() bool { return true }

func init() {
	sdk.Interceptors.Register("guardian", func(sdk.Config) (sdk.Interceptor, error) { return guardian{}, nil })
}

// A plugin that nothing may get past unseen must not become a module that may be skipped.
func TestAGuardIsAModuleThatSaysSo(t *testing.T) {
	g := goguest.New("interceptor", "guardian")
	if wrong := string(g.Configure(0)); !strings.Contains(wrong, "--fail-closed") {
		t.Errorf("a module without the mark says %q", wrong)
	}
	g = goguest.New("interceptor", "guardian")
	g.FailsClosed()
	if wrong := string(g.Configure(0)); wrong != "" {
		t.Errorf("a module with the mark says %q", wrong)
	}
}
