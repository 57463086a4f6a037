package group

import (
	"strings"
	"testing"
)

func TestPatternsAreBounded(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		fail string
	}{
		"short":                     {`orders-.*|(invoices|bills)-v[0-9]{1,3}`, ""},
		"as long as may be":         {strings.Repeat("orders-2026|", 2730) + "x", ""},
		"a class":                   {`[\p{L}\p{N}._-]{1,249}`, ""},
		"a thousand times":          {`(.?){1000}`, ""},
		"ten times a thousand":      {strings.Repeat(`(.?){1000}`, 10), "too large"},
		"repetitions in each other": {`((abc){30}(d?){30}){30}`, ""},
		"not valid":                 {`(a`, "missing closing"},
		"mended by brackets":        {`a)|(b`, "unexpected )"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, check := range []func(string) error{checkPattern, func(text string) error { _, err := compile(text); return err }} {
				err := check(test.text)
				if (err == nil) != (test.fail == "") || err != nil && !strings.Contains(err.Error(), test.fail) {
					t.Errorf("%v, want %q", err, test.fail)
				}
			}
		})
	}
}
