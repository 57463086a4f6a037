package jaas_test

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk/jaas"
)

func TestLoginsAreRead(t *testing.T) {
	for name, test := range map[string]struct {
		text   string
		module string
		want   map[string]string
	}{
		"as Kafka's manual has it": {
			jaas.PlainModule + ` required username="alice" password="alice-secret" user_admin="a b;c=d";`,
			jaas.PlainModule, map[string]string{"username": "alice", "password": "alice-secret", "user_admin": "a b;c=d"},
		},
		"over lines, with comments": {
			"// ours\n " + jaas.ScramModule + " Required /* as\n always */\n username='alice'\n password=secret//no\n// a comment\n;",
			jaas.ScramModule, map[string]string{"username": "alice", "password": "secret//no"},
		},
		"octal":        {`m optional a="\"\\\t\101\0509é";`, "m", map[string]string{"a": "\"\\\tA(9é"}},
		"digits":       {`m sufficient password=12345;`, "m", map[string]string{"password": "12345"}},
		"empty value":  {`m requisite password="";`, "m", map[string]string{"password": ""}},
		"quoted name":  {`m required "user_al ice"="x";`, "m", map[string]string{"user_al ice": "x"}},
		"no options":   {jaas.ScramModule + " required;", jaas.ScramModule, map[string]string{}},
		"signs inside": {`m required user_a.b@c-d="x";`, "m", map[string]string{"user_a.b@c-d": "x"}},
	} {
		l, err := jaas.One(test.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if l.Module != test.module || !maps.Equal(l.Options, test.want) {
			t.Errorf("%s: read %s, %q", name, l.Module, l.Options)
		}
	}
}

// Mistakes say where they are, and nothing of what stands there.
func TestMistakesTellPlacesOnly(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"empty":            {" ", "there is no login module"},
		"only a secret":    {"hush", "character 5: behind the login module"},
		"no flag":          {`m username="hush";`, "character 3: behind the login module one of required"},
		"no semicolon":     {`m required a="hush"`, "character 20: the login does not end with a semicolon"},
		"no value":         {`m required hush;`, "character 16: behind the name of an option an equals sign"},
		"a blank in it":    {`m required password=hu sh;`, "character 26: behind the name of an option an equals sign"},
		"quote in it":      {`m required password="hu"sh";`, "character 27: a quoted value does not end"},
		"two lines":        {"m required password=\"hu\nsh\";", "character 21: a quoted value does not end on its line"},
		"twice":            {`m required a="hush" a="hush";`, "an option is given twice"},
		"an equals sign":   {`m required a==hush;`, "character 14: behind the equals sign a value"},
		"comment":          {`m required /* hush`, "character 12: a comment does not end"},
		"begins with sign": {`="hush"`, "character 1: the name of a login module"},
		"two logins":       {`m required a="hush"; n required;`, "there are 2 login modules"},
	} {
		_, err := jaas.One(test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "hu") {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

func TestALoginIsNotPrinted(t *testing.T) {
	l, err := jaas.One(`m required password="hush";`)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %s %#v", l, l, l, l); strings.Contains(text, "hush") {
		t.Fatal(text)
	}
}

// places is all that an error may be made of.
var places = regexp.MustCompile(`^(character \d+: [a-z ,;]+|there is no login module, such as [\w.]+|there are \d+ login modules, and there must be one)$`)

// FuzzParse reads any text. What is read, written anew with quotes, must be read as the same; what is
// not must be explained without any of it.
func FuzzParse(f *testing.F) {
	f.Add(jaas.PlainModule + ` required username="alice" password='se\'cret' user_bob=bob;`)
	f.Add("// c\nm optional /* x */ a=\"\\101\"; n required;")
	f.Add(`m required a="hu"sh";`)
	fuzz.Run(f, func(t *testing.T, text string) {
		all, err := jaas.Parse(text)
		if err != nil {
			if !places.MatchString(err.Error()) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		for _, l := range all {
			var out strings.Builder
			out.WriteString(l.Module + " required")
			quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`)
			for name, value := range l.Options {
				out.WriteString(` "` + quote.Replace(name) + `"="` + quote.Replace(value) + `"`)
			}
			again, err := jaas.One(out.String() + ";")
			if err != nil {
				t.Fatalf("%q was written as %q: %v", text, out.String(), err)
			}
			if !maps.Equal(again.Options, l.Options) {
				t.Fatalf("%q was read as %q, then as %q", text, l.Options, again.Options)
			}
		}
	})
}
