package transaction

import (
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// verdict is what an answer means, the worst last.
type verdict uint8

const (
	retry  verdict = iota // asked again
	spoils                // the transaction is aborted
	ends                  // the producer is closed
)

// refusals are errors that spoil a transaction, by what was asked, beside those that do so
// whatever was asked. All others that time does not cure end the producer.
var refusals = map[Kind][]error{
	FindGroup:  {kerr.GroupAuthorizationFailed},
	AddOffsets: {kerr.GroupAuthorizationFailed},
	CommitOffsets: {kerr.GroupAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.FencedInstanceID, kerr.UnknownMemberID, kerr.IllegalGeneration,
		kerr.StaleMemberEpoch, kerr.OffsetMetadataTooLarge, kerr.InvalidCommitOffsetSize},
	AddPartitions: {kerr.TopicAuthorizationFailed, kerr.OperationNotAttempted, kerr.InvalidTopicException},
}

// verdict is what err means as an answer to a.
func (m *Machine) verdict(a *Ask, err error) verdict {
	answered, ok := errors.AsType[*kerr.Error](err)
	switch {
	case !ok, errors.Is(err, kerr.ConcurrentTransactions):
		return retry
	case fenced(err), errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return ends
	case errors.Is(err, kerr.TransactionAbortable) && m.state != Aborting:
		return spoils
	case unmapped(err):
		// With version 1 the producer goes on under a new epoch, which it asks for itself.
		if a.Kind == InitProducer || m.version2 {
			return ends
		}
		return spoils
	case slices.ContainsFunc(refusals[a.Kind], func(one error) bool { return errors.Is(err, one) }):
		return spoils
	case answered.Retriable:
		return retry
	default:
		return ends
	}
}

// unanswered hides what an error is, which is not an answer.
type unanswered struct{ error }

// turnedAway reports whether brokers do not let the client in. While it begins that is told at
// once; later something may have been done, and it tries on.
func turnedAway(err error) bool {
	return errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.UnsupportedSaslMechanism)
}

// fenced reports whether another producer has the id now, or the coordinator has aborted the
// transaction because it took too long.
func fenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
}

func unmapped(err error) bool {
	return errors.Is(err, kerr.InvalidProducerIDMapping) || errors.Is(err, kerr.UnknownProducerID)
}

// fatalForRecords reports whether an error of records ends the producer. That their epoch is
// old does not: the coordinator, asked to abort, tells whether another has the id.
func fatalForRecords(err error) bool {
	for _, one := range []error{kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.ProducerFenced,
		kerr.UnsupportedVersion, kerr.InvalidProducerIDMapping} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}
