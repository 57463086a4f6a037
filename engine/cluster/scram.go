package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
)

// The mechanisms whose credentials the metadata log has.
const (
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// The iterations that a credential may have, as Kafka bounds them: less is too easy to guess, and a
// client would have to go through any number that it is told.
const (
	MinScramIterations = 4096
	MaxScramIterations = 16384
)

// maxScramUser bounds names, maxScramSalt salts.
const (
	maxScramUser = 1 << 10
	maxScramSalt = 1 << 10
)

// ScramKey is a user, by one mechanism.
type ScramKey struct{ User, Mechanism string }

// ScramCredential is what is kept of a password (RFC 5802): enough to recognize who has it, not
// enough to be them, except towards somebody who saw them prove it. It is immutable.
type ScramCredential struct {
	Salt, StoredKey, ServerKey []byte
	Iterations                 int32
}

// ScramKeySize is how long the keys of a mechanism are; 0: there is no such mechanism.
func ScramKeySize(mechanism string) int {
	switch mechanism {
	case ScramSHA256:
		return 32
	case ScramSHA512:
		return 64
	}
	return 0
}

// ScramCredential finds what is kept of a user's password, or answers nil.
func (i *Image) ScramCredential(user, mechanism string) *ScramCredential {
	return i.scram[ScramKey{user, mechanism}]
}

// ScramUsers are all users that have credentials, by name and mechanism.
func (i *Image) ScramUsers() []ScramKey {
	return slices.SortedFunc(maps.Keys(i.scram), func(a, b ScramKey) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Mechanism, b.Mechanism))
	})
}

// ScramEdition stands for the credentials of images that have the same.
type ScramEdition struct{ _ byte } // of some size, so that no two are one

// ScramEdition is another one whenever credentials may have changed, so that what is made of all of
// them need not be made anew for every image. Nil: there never were any.
func (i *Image) ScramEdition() *ScramEdition { return i.scramEdition }

// credentials are the draft's own.
func (d *draft) credentials() map[ScramKey]*ScramCredential {
	if !d.own.scram {
		d.scramEdition = new(ScramEdition)
	}
	return owned(&d.scram, &d.own.scram)
}

func scramRecord(of ScramKey, c *ScramCredential) *ScramCredentialRecord {
	return &ScramCredentialRecord{
		User: of.User, Mechanism: of.Mechanism, Salt: c.Salt, StoredKey: c.StoredKey, ServerKey: c.ServerKey, Iterations: c.Iterations,
	}
}

// check refuses a credential that cannot be.
func (c *ScramCredential) check(of ScramKey) error {
	size := ScramKeySize(of.Mechanism)
	switch {
	case of.User == "" || size == 0:
		return fmt.Errorf("user %q has a credential for %q", of.User, of.Mechanism)
	case len(c.StoredKey) != size || len(c.ServerKey) != size || len(c.Salt) == 0:
		return fmt.Errorf("the credential of user %q for %s has keys of %d and %d bytes, and a salt of %d", of.User, of.Mechanism, len(c.StoredKey), len(c.ServerKey), len(c.Salt))
	case c.Iterations < MinScramIterations || c.Iterations > MaxScramIterations:
		return fmt.Errorf("the credential of user %q for %s has %d iterations", of.User, of.Mechanism, c.Iterations)
	}
	return nil
}

func (r *ScramCredentialRecord) apply(d *draft) error {
	of := ScramKey{r.User, r.Mechanism}
	c := &ScramCredential{Salt: r.Salt, StoredKey: r.StoredKey, ServerKey: r.ServerKey, Iterations: r.Iterations}
	if err := c.check(of); err != nil {
		return err
	}
	d.credentials()[of] = c
	return nil
}

func (r *RemoveScramCredentialRecord) apply(d *draft) error {
	of := ScramKey{r.User, r.Mechanism}
	if d.scram[of] == nil {
		return fmt.Errorf("user %q has no credential for %q", r.User, r.Mechanism)
	}
	delete(d.credentials(), of)
	return nil
}

// ScramChange is one credential that a request wants changed: with none, taken away. The mechanism
// is empty when there is none of the number that the request had.
type ScramChange struct {
	ScramKey
	Credential *ScramCredential
}

// ScramAltered is the answer for one user.
type ScramAltered struct {
	User    string
	Refusal *Refusal
}

// AlterScram decides about credentials (KIP-554). All that a request wants of one user is done, or
// nothing of it; there is one answer for each user, in the order in which they are named first.
func AlterScram(i *Image, changes []ScramChange) ([]Record, []ScramAltered) {
	seen := map[ScramKey]bool{}
	refused := map[string]*Refusal{}
	var answers []ScramAltered
	for n := range changes {
		c := &changes[n]
		before, known := refused[c.User]
		if !known {
			answers = append(answers, ScramAltered{User: c.User})
		}
		if before == nil {
			before = c.check(i, seen[c.ScramKey])
		}
		refused[c.User], seen[c.ScramKey] = before, true
	}
	var records []Record
	for _, c := range changes {
		switch {
		case refused[c.User] != nil:
		case c.Credential == nil:
			records = append(records, &RemoveScramCredentialRecord{User: c.User, Mechanism: c.Mechanism})
		default:
			records = append(records, scramRecord(c.ScramKey, c.Credential))
		}
	}
	for n := range answers {
		answers[n].Refusal = refused[answers[n].User]
	}
	return records, answers
}

// check refuses one change, in Kafka's words.
func (c *ScramChange) check(i *Image, twice bool) *Refusal {
	switch {
	case c.User == "":
		return refuse(kerr.UnacceptableCredential, "Username must not be empty")
	case !utf8.ValidString(c.User) || len(c.User) > maxScramUser:
		return refuse(kerr.UnacceptableCredential, "A username is at most %d bytes of UTF-8", maxScramUser)
	case c.Mechanism == "":
		return refuse(kerr.UnsupportedSaslMechanism, "Unknown SCRAM mechanism")
	case twice:
		return refuse(kerr.DuplicateResource, "A user credential cannot be altered twice in the same request")
	case c.Credential == nil && i.ScramCredential(c.User, c.Mechanism) == nil:
		return refuse(kerr.ResourceNotFound, "Attempt to delete a user credential that does not exist")
	case c.Credential == nil:
		return nil
	case c.Credential.Iterations > MaxScramIterations:
		return refuse(kerr.UnacceptableCredential, "Too many iterations")
	case c.Credential.Iterations < MinScramIterations:
		return refuse(kerr.UnacceptableCredential, "Too few iterations")
	case len(c.Credential.Salt) > maxScramSalt:
		return refuse(kerr.UnacceptableCredential, "The salt is longer than %d bytes", maxScramSalt)
	case c.Credential.check(c.ScramKey) != nil:
		return refuse(kerr.UnacceptableCredential, "Neither the salted password nor the salt may be empty")
	}
	return nil
}
