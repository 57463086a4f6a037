package setting_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk/setting"
)

// Each case was run through java.util.Properties.
func TestParseProperties(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want string
		fail string
	}{
		"three separators":                {"a=1\nb:2\nc 3\nd\t4", "1:a=1 2:b=2 3:c=3 4:d=4", ""},
		"blanks around":                   {"  a  =  1 \n b : 2", "1:a=1_ 2:b=2", ""},
		"blank, then separator":           {"a = = 1\nb : : 2\nc =: 3", "1:a==_1 2:b=:_2 3:c=:_3", ""},
		"comments":                        {"# a=1\n! b=2\n   # c=3\nd=4 # no comment", "4:d=4_#_no_comment", ""},
		"empty value":                     {"a=\nb\nc:", "1:a= 2:b= 3:c=", ""},
		"empty key":                       {"=1", "1:=1", ""},
		"continued":                       {"a=1,\\\n  2,\\\n\t3\nb=4", "1:a=1,2,3 4:b=4", ""},
		"continued key":                   {"a\\\n  b=1", "1:ab=1", ""},
		"continued by a comment":          {"a=1\\\n#2", "1:a=1#2", ""},
		"a comment is never continued":    {"# a \\\nb=1", "2:b=1", ""},
		"two backslashes do not continue": {"a=1\\\\\nb=2", `1:a=1\ 2:b=2`, ""},
		"three do":                        {"a=1\\\\\\\nb=2", `1:a=1\b=2`, ""},
		"continued into nothing":          {"a=1\\", "1:a=1", ""},
		"continued by an empty line":      {"a=1\\\n\nb=2", "1:a=1 3:b=2", ""},
		"escapes":                         {`a=\t\n\r\f\q\:\=\ \\`, "1:a=\t\n\r\fq:=_\\", ""},
		"escaped key":                     {`a\ b\=c\:d = 1`, "1:a_b=c:d=1", ""},
		"unicode":                         {`a=\u00e9\u20AC\uD83D\uDE00`, "1:a=é€😀", ""},
		"unicode in UTF-8":                {"a=é€", "1:a=é€", ""},
		"windows and old mac":             {"a=1\r\nb=2\rc=3", "1:a=1 2:b=2 3:c=3", ""},
		"a lone backslash":                {"a\\b=1", "1:ab=1", ""},
		"bad unicode":                     {"a=1\nb=\\u12x4", "", `line 2: \u needs four hexadecimal digits, not "12x4"`},
		"short unicode":                   {`\u12`, "", `line 1: \u needs four hexadecimal digits, not "12"`},
		"nothing":                         {"\n \n\t\n", "", ""},
	} {
		got, err := setting.ParseProperties(test.text)
		if show := shown(got); show != test.want || failed(err) != test.fail {
			t.Errorf("%s: %q %v\nwant %q %s", name, show, err, test.want, test.fail)
		}
	}
}

func shown(all []setting.Property) string {
	var words []string
	for _, p := range all {
		words = append(words, strings.ReplaceAll(string(rune('0'+p.Line))+":"+p.Key+"="+p.Value, " ", "_"))
	}
	return strings.Join(words, " ")
}

func failed(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Whatever the file says, the reader ends; and what it read, written in the simplest
// form, reads the same again.
func FuzzParseProperties(f *testing.F) {
	for _, text := range []string{
		"a=1\nb:2\nc 3\n# d\n", "a=1,\\\n  2\r\n", `a\ b\=c = \t\u00e9\\`, "=\\", "a=1\\\\\\\nb", "! x\\\ny", `\u00`, `a=\ud83d`, "\f=\f",
	} {
		f.Add(text)
	}
	fuzz.Run(f, func(t *testing.T, text string) {
		all, err := setting.ParseProperties(text)
		if err != nil {
			return
		}
		var again strings.Builder
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1
		last := 0
		for _, p := range all {
			if p.Line <= last || p.Line > lines {
				t.Fatalf("line %d after line %d of %d", p.Line, last, lines)
			}
			last = p.Line
			again.WriteString(escaped(p.Key) + "=" + escaped(p.Value) + "\n")
		}
		second, err := setting.ParseProperties(again.String())
		if err != nil || len(second) != len(all) {
			t.Fatalf("%d lines, then %d: %v", len(all), len(second), err)
		}
		for i := range all {
			if second[i].Key != all[i].Key || second[i].Value != all[i].Value {
				t.Fatalf("%+q, then %+q", []string{all[i].Key, all[i].Value}, []string{second[i].Key, second[i].Value})
			}
		}
	})
}

// escaped writes text so that it reads the same.
func escaped(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\t':
			out.WriteString(`\t`)
		case c == '\n':
			out.WriteString(`\n`)
		case c == '\r':
			out.WriteString(`\r`)
		case c == '\f':
			out.WriteString(`\f`)
		case c < utf8.RuneSelf && strings.IndexByte(`\=:#! `, c) >= 0:
			out.WriteByte('\\')
			out.WriteByte(c)
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}
