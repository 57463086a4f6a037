package sdk_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/sdk"
)

// registered finds where a plugin that ships is registered.
var registered = regexp.MustCompile(`sdk\.(\w+)\.Register\("([^"]+)"`)

// A program that imports no plugins is told which import it lacks, for each that ships: this
// test's own program is one.
func TestWhatShipsIsMissedByTheImportThatBringsIt(t *testing.T) {
	kinds := map[string]func(string) error{
		"Interceptors":         func(name string) error { return failure(sdk.Interceptors, name) },
		"Partitioners":         func(name string) error { return failure(sdk.Partitioners, name) },
		"Assignors":            func(name string) error { return failure(sdk.Assignors, name) },
		"ProducerInterceptors": func(name string) error { return failure(sdk.ProducerInterceptors, name) },
		"ConsumerInterceptors": func(name string) error { return failure(sdk.ConsumerInterceptors, name) },
	}
	files, err := filepath.Glob("../plugins/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range registered.FindAllStringSubmatch(string(text), -1) {
			want := "standard"
			if match[2] == "wasm" {
				want = "wasm"
			}
			found++
			if err := kinds[match[1]](match[2]); err == nil || !strings.Contains(err.Error(), `import _ "github.com/millrace/millrace/plugins/`+want+`"`) {
				t.Errorf("%s registers %s %q, and who misses it is told: %v", file, match[1], match[2], err)
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d plugins were found", found)
	}
}

// failure is what the kind says of a plugin that is not there.
func failure[T any](k *sdk.Kind[T], name string) error {
	_, err := k.New(name, sdk.Config{})
	return err
}

func TestWhatIsMissing(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"one that ships":         {failure(sdk.Partitioners, "round-robin"), `there is no partitioner "round-robin" (there are none): a program that is to have it says import _ "github.com/millrace/millrace/plugins/standard"`},
		"one that does not":      {failure(sdk.Partitioners, "robin"), `there is no partitioner "robin" (there are none): a program has those that it imports; import _ "github.com/millrace/millrace/plugins/standard" brings consistent-random, `},
		"a module":               {failure(sdk.Assignors, "wasm"), `there is no assignor "wasm" (there are none): a program that is to run WebAssembly modules says import _ "github.com/millrace/millrace/plugins/wasm"`},
		"a module of a type":     {failure(sdk.Serializers[chan int](), "wasm"), `there is no serializer of chan int "wasm" (there are none): a program that is to run WebAssembly modules says`},
		"of a kind without any":  {failure(sdk.Assignors, "fair"), `there is no assignor "fair" (there are none): a program has those whose packages it imports`},
		"a guard that is a file": {failure(sdk.Authenticators, "wasm"), `there is no authenticator "wasm" (there are none): a program has those whose packages it imports`},
		"beside others":          {failure(sdk.Authorizers, "prefix"), `there is no authorizer "prefix" (there are: prefixes)`},
	} {
		t.Run(name, func(t *testing.T) {
			if test.err == nil || !strings.HasPrefix(test.err.Error(), test.want) {
				t.Errorf("it is told:\n%v\nwant\n%s", test.err, test.want)
			}
		})
	}
}
