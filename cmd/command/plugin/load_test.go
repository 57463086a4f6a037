package plugin

import (
	"errors"
	"fmt"
	"maps"
	"testing"
)

// What a plugin calls its own settings is its own business.
func TestOnlySettingsOfTheHostAreLeftOut(t *testing.T) {
	own := map[string]string{"config.request.budget.ms": "1", "config.breaker.limit": "2", "breaker.limit": "3", "retry.budget.ms": "4", "fuel": "5", "config.type": "6"}
	all := maps.Clone(own)
	for _, key := range []string{"type", "on.error", "dlq.topic", "breaker.faults", "breaker.window.ms", "breaker.cooldown.ms", "fault.budget.ms", "call.budget.ms"} {
		all[key] = "host"
	}
	if got := hostless(all); !maps.Equal(got, own) {
		t.Errorf("of the plugin itself are %v, want %v", got, own)
	}
}

func TestWhatIsSaidOfAHalfLoadedPlugin(t *testing.T) {
	l := Load{Name: "cut", File: "cut.wasm", Topics: []string{"a", "b", "c"}}
	for told, want := range []string{`topic a: denied
The plugin cut is loaded. Of the topics that were named these use it now: none; these do not: a, b, c.
To go on, once that is mended: millrace plugin reload cut cut.wasm --topic a --topic b --topic c
To go back: millrace plugin unload cut`, `topic b: denied
The plugin cut is loaded. Of the topics that were named these use it now: a; these do not: b, c.
To go on, once that is mended: millrace plugin reload cut cut.wasm --topic b --topic c
To go back: millrace plugin unload cut --topic a && millrace plugin unload cut`} {
		if got := l.half(told, errors.New("topic "+l.Topics[told]+": denied")).Error(); got != want {
			t.Errorf("it says\n%s\nwant\n%s", got, want)
		}
	}
	l.Fetch = true
	want := "x\nThe plugin cut is loaded. Of the topics that were named these use it now: a, b; these do not: c.\n" +
		"To go on, once that is mended: millrace plugin reload cut cut.wasm --topic c --fetch\nTo go back: millrace plugin unload cut --topic a --topic b && millrace plugin unload cut"
	if got := l.half(2, errors.New("x")).Error(); got != want {
		t.Errorf("it says\n%s\nwant\n%s", got, want)
	}
}

// A request that is not answered may be carried out all the same: a broker compiles a module for as long as it takes.
func TestWhatIsSaidOfAPluginThatIsNotLoaded(t *testing.T) {
	l := Load{Name: "cut"}
	for err, want := range map[error]string{
		errors.New("INVALID_CONFIG"):                  "load plugin cut: INVALID_CONFIG\nNo setting was changed. The module lies in /plugins as cut.wasm, unused",
		fmt.Errorf("%w: time is over", errUnanswered): "load plugin cut: the broker did not answer: time is over\nNobody knows whether the broker has it: `millrace plugin list` tells, once it answers. The module lies in /plugins as cut.wasm",
	} {
		if got := l.notLoaded(err, "/plugins", "cut.wasm").Error(); got != want {
			t.Errorf("it says\n%s\nwant\n%s", got, want)
		}
	}
}
