package cluster

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func credential(mechanism string, iterations int32) *ScramCredential {
	key := bytes.Repeat([]byte{7}, ScramKeySize(mechanism))
	return &ScramCredential{Salt: []byte("salt"), StoredKey: key, ServerKey: key, Iterations: iterations}
}

func scramChange(user, mechanism string, c *ScramCredential) ScramChange {
	return ScramChange{ScramKey{user, mechanism}, c}
}

func TestCredentialsAreChangedByUser(t *testing.T) {
	i := withTopics(t, 1)
	records, answers := AlterScram(i, []ScramChange{
		scramChange("alice", ScramSHA256, credential(ScramSHA256, 4096)),
		scramChange("bob", ScramSHA256, credential(ScramSHA256, 16384)),
		scramChange("alice", ScramSHA512, credential(ScramSHA512, 8192)),
	})
	if len(answers) != 2 || answers[0].User != "alice" || answers[0].Refusal != nil || answers[1].Refusal != nil {
		t.Fatalf("answers %+v", answers)
	}
	before := i
	i = apply(t, i, records)
	if got := fmt.Sprint(i.ScramUsers()); got != "[{alice SCRAM-SHA-256} {alice SCRAM-SHA-512} {bob SCRAM-SHA-256}]" || len(before.ScramUsers()) != 0 {
		t.Fatalf("users %s, before %v", got, before.ScramUsers())
	}
	if c := i.ScramCredential("alice", ScramSHA512); c == nil || c.Iterations != 8192 || len(c.StoredKey) != 64 {
		t.Fatalf("alice has %+v", c)
	}
	again := apply(t, Empty(), i.Records()) // a snapshot
	if again.ScramCredential("bob", ScramSHA256) == nil || len(again.ScramUsers()) != 3 {
		t.Fatalf("a snapshot has %v", again.ScramUsers())
	}
	records, answers = AlterScram(i, []ScramChange{scramChange("alice", ScramSHA256, nil), scramChange("bob", ScramSHA512, nil)})
	if answers[0].Refusal != nil || answers[1].Refusal == nil || len(records) != 1 {
		t.Fatalf("answers %+v, %d records", answers, len(records))
	}
	if i = apply(t, i, records); i.ScramCredential("alice", ScramSHA256) != nil || again.ScramCredential("alice", ScramSHA256) == nil {
		t.Fatal("the wrong image changed")
	}
}

// An edition lasts as long as credentials are the same.
func TestEditionsOfCredentials(t *testing.T) {
	i := withTopics(t, 1)
	if i.ScramEdition() != nil {
		t.Fatal("nothing has an edition")
	}
	records, _ := AlterScram(i, []ScramChange{
		scramChange("bob", ScramSHA256, credential(ScramSHA256, 4096)), scramChange("alice", ScramSHA256, credential(ScramSHA256, 4096)),
	})
	first := apply(t, i, records)
	other := apply(t, first, []Record{&FeatureRecord{Name: "something.else", Level: 1}})
	if first.ScramEdition() == nil || other.ScramEdition() != first.ScramEdition() {
		t.Error("the edition is another for what is not about credentials")
	}
	records, _ = AlterScram(other, []ScramChange{scramChange("alice", ScramSHA256, nil)})
	if last := apply(t, other, records); last.ScramEdition() == other.ScramEdition() || last.ScramEdition() == nil {
		t.Error("the edition is the same when a credential has gone")
	}
}

func TestCredentialsThatAreRefused(t *testing.T) {
	i := apply(t, withTopics(t, 1), []Record{scramRecord(ScramKey{"alice", ScramSHA256}, credential(ScramSHA256, 4096))})
	fine := credential(ScramSHA256, 4096)
	salted := credential(ScramSHA256, 4096)
	salted.Salt = bytes.Repeat([]byte{1}, maxScramSalt+1)
	for name, test := range map[string]struct {
		changes []ScramChange
		want    string
	}{
		"nobody":           {[]ScramChange{scramChange("", ScramSHA256, fine)}, "UNACCEPTABLE_CREDENTIAL: Username must not be empty"},
		"not UTF-8":        {[]ScramChange{scramChange("a\xff", ScramSHA256, fine)}, "UNACCEPTABLE_CREDENTIAL: A username"},
		"a long name":      {[]ScramChange{scramChange(strings.Repeat("a", 1025), ScramSHA256, fine)}, "UNACCEPTABLE_CREDENTIAL: A username"},
		"no mechanism":     {[]ScramChange{scramChange("u", "", fine)}, "UNSUPPORTED_SASL_MECHANISM: Unknown SCRAM mechanism"},
		"twice":            {[]ScramChange{scramChange("u", ScramSHA256, fine), scramChange("u", ScramSHA256, fine)}, "DUPLICATE_RESOURCE: A user credential cannot be altered twice"},
		"set and removed":  {[]ScramChange{scramChange("alice", ScramSHA256, nil), scramChange("alice", ScramSHA256, fine)}, "DUPLICATE_RESOURCE: A user credential cannot be altered twice"},
		"not there":        {[]ScramChange{scramChange("u", ScramSHA256, nil)}, "RESOURCE_NOT_FOUND: Attempt to delete a user credential that does not exist"},
		"too many":         {[]ScramChange{scramChange("u", ScramSHA256, credential(ScramSHA256, 16385))}, "UNACCEPTABLE_CREDENTIAL: Too many iterations"},
		"too few":          {[]ScramChange{scramChange("u", ScramSHA256, credential(ScramSHA256, 4095))}, "UNACCEPTABLE_CREDENTIAL: Too few iterations"},
		"of the other":     {[]ScramChange{scramChange("u", ScramSHA512, fine)}, "UNACCEPTABLE_CREDENTIAL: Neither the salted password nor the salt may be empty"},
		"a long salt":      {[]ScramChange{scramChange("u", ScramSHA256, salted)}, "UNACCEPTABLE_CREDENTIAL: The salt is longer"},
		"all or nothing":   {[]ScramChange{scramChange("alice", ScramSHA512, credential(ScramSHA512, 4096)), scramChange("alice", ScramSHA256, credential(ScramSHA256, 1))}, "UNACCEPTABLE_CREDENTIAL: Too few iterations"},
		"first one counts": {[]ScramChange{scramChange("u", ScramSHA256, nil), scramChange("u", ScramSHA512, credential(ScramSHA512, 1))}, "RESOURCE_NOT_FOUND: Attempt"},
	} {
		records, answers := AlterScram(i, test.changes)
		if len(records) != 0 || len(answers) != 1 || answers[0].Refusal == nil || !strings.HasPrefix(answers[0].Refusal.Error(), test.want) {
			t.Errorf("%s: %d records, %+v", name, len(records), answers)
		}
	}
}

func TestCredentialsOfADamagedLog(t *testing.T) {
	for name, record := range map[string]Record{
		"short keys":    &ScramCredentialRecord{User: "u", Mechanism: ScramSHA256, Salt: []byte("s"), StoredKey: []byte("x"), ServerKey: []byte("x"), Iterations: 4096},
		"no mechanism":  scramRecord(ScramKey{"u", "MD5"}, credential(ScramSHA256, 4096)),
		"iterations":    scramRecord(ScramKey{"u", ScramSHA256}, credential(ScramSHA256, 1<<30)),
		"nothing there": &RemoveScramCredentialRecord{User: "u", Mechanism: ScramSHA256},
	} {
		if _, err := Empty().Apply([]Record{record}); err == nil {
			t.Errorf("%s was applied", name)
		}
	}
}
