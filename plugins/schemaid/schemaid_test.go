package schemaid

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/sdk"
)

func newChecker(t *testing.T, settings map[string]string) *checker {
	t.Helper()
	one, err := sdk.Interceptors.New("schema-id", sdk.NewConfig(settings))
	if err != nil {
		t.Fatal(err)
	}
	return one.(*checker)
}

func TestIdsAreChecked(t *testing.T) {
	s := newChecker(t, map[string]string{"allowed": "1, 17"})
	for data, want := range map[string]string{
		"\x00\x00\x00\x00\x11rest": "",
		"\x00\x00\x00\x00\x01":     "",
		"\x00\x00\x00\x00\x02x":    "schema 2 is not one of those allowed",
		"\x00\x00\x00\x00":         "does not begin",
		"\x01\x00\x00\x00\x01":     "does not begin",
		"":                         "does not begin",
	} {
		if got, err := s.check([]byte(data)); err != nil || (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, %v, want %q", data, got, err, want)
		}
	}
	if why, err := s.check(nil); why != "" || err != nil {
		t.Errorf("null: %s, %v", why, err)
	}
}

func TestTheRegistryIsAskedOnce(t *testing.T) {
	asked := map[string]int{}
	broken := false
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		switch {
		case broken:
			w.WriteHeader(http.StatusInternalServerError)
		case r.URL.Path != "/schemas/ids/7":
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer registry.Close()
	s := newChecker(t, map[string]string{"registry": registry.URL + "/"})
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	at := time.Unix(1000, 0)
	s.now = func() time.Time { return at }
	for range 3 {
		if why, err := s.check([]byte("\x00\x00\x00\x00\x07")); why != "" || err != nil {
			t.Fatal(why, err)
		}
		if why, err := s.check([]byte("\x00\x00\x00\x00\x08")); !strings.Contains(why, "does not know schema 8") || err != nil {
			t.Fatal(why, err)
		}
	}
	at = at.Add(time.Minute)
	if _, err := s.check([]byte("\x00\x00\x00\x00\x08")); err != nil {
		t.Fatal(err)
	}
	if asked["/schemas/ids/7"] != 1 || asked["/schemas/ids/8"] != 2 {
		t.Errorf("asked %v", asked)
	}
	broken = true
	if _, err := s.check([]byte("\x00\x00\x00\x00\x09")); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("a registry that fails: %v", err)
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	for want, settings := range map[string]map[string]string{
		"which ids there are": {},
		"is not an id":        {"allowed": "x"},
		"must begin with":     {"registry": "127.0.0.1"},
		"use key or value":    {"allowed": "1", "part": "both"},
	} {
		if _, err := sdk.Interceptors.New("schema-id", sdk.NewConfig(settings)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", settings, err, want)
		}
	}
}
