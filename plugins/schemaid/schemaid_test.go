package schemaid

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
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

// batchOf is a batch of records with those ids.
func batchOf(t *testing.T, ids ...uint32) *sdk.Batch {
	t.Helper()
	var builder batch.Builder
	for _, id := range ids {
		builder.Append(1, nil, binary.BigEndian.AppendUint32([]byte{0}, id), nil)
	}
	whole, err := builder.Finish(batch.NoProducer())
	if err != nil {
		t.Fatal(err)
	}
	b := new(sdk.Batch)
	if err := b.Open(whole, whole[batch.HeaderSize:]); err != nil {
		t.Fatal(err)
	}
	return b
}

// upTo are the ids from one on, so many.
func upTo(from, count uint32) (ids []uint32) {
	for id := range count {
		ids = append(ids, from+id)
	}
	return ids
}

func TestIdsThatAreMadeUpAreNotAskedAboutWithoutEnd(t *testing.T) {
	asked, opened := 0, 0
	registry := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		var id uint32
		if _, err := fmt.Sscanf(r.URL.Path, "/schemas/ids/%d", &id); err != nil || id >= 1000 {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprintln(w, strings.Repeat("what a registry says of it ", 100))
	}))
	registry.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened++
		}
	}
	registry.Start()
	defer registry.Close()
	s := newChecker(t, map[string]string{"registry": registry.URL})
	defer s.Close() //nolint:errcheck // it says nothing
	at := time.Unix(1000, 0)
	s.now = func() time.Time { return at }
	rejected := func(ids []uint32, want string) {
		t.Helper()
		err := s.OnProduce(batchOf(t, ids...))
		if _, ok := errors.AsType[*sdk.Rejection](err); ok != (want != "") || ok && !strings.Contains(err.Error(), want) || !ok && err != nil {
			t.Errorf("%d ids from %d on: %v, want %q", len(ids), ids[0], err, want)
		}
	}
	rejected(upTo(0, 300), "") // that there are: each is asked about once
	rejected(upTo(0, 300), "")
	if asked != 300 {
		t.Errorf("the registry was asked %d times about 300 ids", asked)
	}
	rejected(upTo(1000, 10), "")
	rejected(upTo(2000, 100_000), "more than 10 ids")
	if asked != 320 {
		t.Errorf("the registry was asked %d times, want 20 more than before", asked)
	}
	rejected([]uint32{7, 1003}, "") // which were asked about
	rejected([]uint32{300}, "not asked about schema 300 now")
	at = at.Add(time.Second)
	rejected([]uint32{300}, "")
	if asked != 321 || opened != 1 {
		t.Errorf("the registry was asked %d times in all, want 321, over %d connections, want 1", asked, opened)
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	for want, settings := range map[string]map[string]string{
		"which ids there are": {},
		"is not an id":        {"allowed": "x"},
		"must begin with":     {"registry": "127.0.0.1"},
		"use key or value":    {"allowed": "1", "part": "both"},
		"longer than nothing": {"allowed": "1", "timeout": "0"},
	} {
		if _, err := sdk.Interceptors.New("schema-id", sdk.NewConfig(settings)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", settings, err, want)
		}
	}
}
