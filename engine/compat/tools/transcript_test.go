package tools

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/compat/report"
)

func TestDiffer(t *testing.T) {
	const want = "$ kafka-x --list\na\nb\nexit 0\n"
	for name, test := range map[string]struct{ got, fail string }{
		"the same":    {want, ""},
		"another":     {"$ kafka-x --list\na\nc\nexit 0\n", `kafka-x --list prints "c", want "b"`},
		"one less":    {"$ kafka-x --list\na\nexit 0\n", `prints "exit 0", want "b"`},
		"nothing":     {"", `prints "", want "$ kafka-x`},
		"one more":    {want + "more", `prints "more", want ""`},
		"another end": {"$ kafka-x --list\na\nb\nexit 1\n", `prints "exit 1", want "exit 0"`},
	} {
		t.Run(name, func(t *testing.T) {
			err := differ(test.got, want)
			if test.fail == "" && err != nil || test.fail != "" && (err == nil || !strings.Contains(err.Error(), test.fail)) {
				t.Errorf("got %v, want %q", err, test.fail)
			}
		})
	}
}

func TestPlain(t *testing.T) {
	s := set{Suite: &report.Suite{Bootstrap: "127.0.0.1:9", Prefix: "p"}}
	got := s.plain(said{command: "kafka-transactions describe", out: "TransactionalId\tProducerId  State\np-transcript\t7 \tOngoing\n", err: "[2026-01-01 00] WARN x\nno 127.0.0.1:9\nat a.b.C(C.java:1)\n", exit: 1})
	if want := "TransactionalId ProducerId State\nNAME # Ongoing\nno ADDRESS\nexit 1\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	settings := said{command: "kafka-configs --describe", out: "flush.mode=commit\nflush.ms=1 synonyms={}\ninterceptors.fetch= synonyms={}\nshare.x=1\n"}
	if got, want := s.plain(settings), "flush.ms=1 synonyms={}\nexit 0\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := s.plain(said{command: "kafka-x --list", out: "other\np-transcript\n"}); got != "NAME\nexit 0\n\n" {
		t.Errorf("a list shows what is not ours: %q", got)
	}
}
