package regular

import (
	"regexp/syntax"
	"strings"
	"testing"
)

func TestExpressionsAreBounded(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		fail string
	}{
		"short":                     {`orders-.*|(invoices|bills)-v[0-9]{1,3}`, ""},
		"as long as may be":         {strings.Repeat("orders-2026|", 2730) + "x", ""},
		"longer":                    {strings.Repeat("x", 32768), "longer than"},
		"a class":                   {`[\p{L}\p{N}._-]{1,249}`, ""},
		"a thousand times":          {`(.?){1000}`, ""},
		"ten times a thousand":      {strings.Repeat(`(.?){1000}`, 10), "too large"},
		"repetitions in each other": {`((abc){30}(d?){30}){30}`, ""},
		"an open quotation":         {`\Qorders.x`, ""},
		"not valid":                 {`(a`, "missing closing"},
		"mended by brackets":        {`a)|(b`, "unexpected )"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, check := range []func(string) error{Check, func(text string) error { _, _, err := Compile(text); return err }} {
				err := check(test.text)
				if (err == nil) != (test.fail == "") || err != nil && !strings.Contains(err.Error(), test.fail) {
					t.Errorf("%v, want %q", err, test.fail)
				}
			}
		})
	}
}

func TestAnOpenQuotationMatches(t *testing.T) {
	for text, want := range map[string]string{`\Qorders.x`: "orders.x", `\Qa\`: `a\`, `(a|\Qb)\E)\Q.`: "b)."} {
		e, _, err := Compile(text)
		if err != nil || !e.MatchString(want) || e.MatchString("orders_x") || e.MatchString(want+"y") {
			t.Errorf("%s: %v, %v", text, e, err)
		}
	}
}

func TestBreadth(t *testing.T) {
	for text, want := range map[string]int{
		`orders`: 1, `orders-.*`: 3, `.*orders`: 8, `a|bc|de`: 3, `(.?){1000}`: 2001, `orders-[a-z]{1,200}`: 3, `.*[a-z]{1,200}`: 203, `[a-z]+-v[0-9]`: 5,
	} {
		parsed, err := syntax.Parse(text, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := breadth(parsed, false); n != want {
			t.Errorf("%s: %d, want %d", text, n, want)
		}
	}
}
