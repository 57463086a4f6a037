'use strict'
// Drives a broker with KafkaJS and reports in the lines that package report of the driver declares. The driver says in
// the environment where the broker is, how topics shall be called and which checks to run.

const {
  Kafka, CompressionTypes, CompressionCodecs, AssignerProtocol, ConfigResourceTypes, logLevel, Partitioners,
  AclResourceTypes, AclOperationTypes, AclPermissionTypes, ResourcePatternTypes,
} = require('kafkajs')
const snappy = require('kafkajs-snappy')
const lz4 = require('lz4-napi')
const zstd = require('@mongodb-js/zstd')

const codec = (compress, decompress) => () => ({ compress: encoder => compress(encoder.buffer), decompress })
CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = codec(lz4.compressFrame, lz4.decompressFrame)
CompressionCodecs[CompressionTypes.ZSTD] = codec(zstd.compress, zstd.decompress)

const BOOTSTRAP = process.env.COMPAT_BOOTSTRAP
const DROPS = process.env.COMPAT_DROPS
const FOREIGN = process.env.COMPAT_FOREIGN
const ONLY = new RegExp('^(' + (process.env.COMPAT_ONLY || '.*') + ')$')
const FOREIGN_BASE = 1_700_000_000_000
const BASE = Date.now() - 3_600_000 // young enough for retention
const LIMIT = 60_000
const codecs = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }

// name is a topic or group of this run.
const name = what => process.env.COMPAT_PREFIX + '-' + what
const pause = millis => new Promise(resolve => setTimeout(resolve, millis))

function kafka (broker = BOOTSTRAP, clientId = 'kafkajs') {
  return new Kafka({ clientId, brokers: [broker], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 30 } })
}

function expect (isTrue, otherwise) {
  if (!isTrue) throw new Error(otherwise)
}

// eventually asks until the answer is right, or for ten seconds. A cluster tells its brokers of a change after it
// acknowledged it, so a question that follows at once may get the old answer.
async function eventually (ask) {
  for (const end = Date.now() + 10_000; ; await pause(50)) {
    try {
      return await ask()
    } catch (e) {
      if (Date.now() > end) throw e
    }
  }
}

async function refused (type, doing, call) {
  try {
    await call
  } catch (e) {
    const text = [e.type, e.message, ...(e.errors || []).map(one => one.type + ' ' + one.message), ...(e.groups || []).map(one => one.error && one.error.type)].join(' ')
    expect(text.includes(type), `${doing}: ${text}, want ${type}`)
    return
  }
  throw new Error(`${doing}: no error, want ${type}`)
}

async function withAdmin (run, broker = BOOTSTRAP) {
  const admin = kafka(broker).admin()
  await admin.connect()
  try {
    return await run(admin)
  } finally {
    await admin.disconnect()
  }
}

async function topic (what, numPartitions = 1, broker = BOOTSTRAP) {
  await withAdmin(admin => admin.createTopics({ waitForLeaders: true, topics: [{ topic: name(what), numPartitions, replicationFactor: 1 }] }), broker)
  return name(what)
}

async function send (where, messages, options = {}, client = kafka()) {
  const producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...options.producer })
  await producer.connect()
  try {
    return await producer.send({ topic: where, messages, acks: options.acks, compression: options.compression })
  } finally {
    await producer.disconnect()
  }
}

const numbered = (partition, first, count) => Array.from({ length: count }, (_, i) => ({ partition, value: String(first + i) }))

// read consumes n messages of a topic in a group of its own.
async function read (where, n, { broker = BOOTSTRAP, group = name('read-' + where), seek } = {}) {
  const consumer = kafka(broker).consumer({ groupId: group, maxWaitTimeInMs: 100, heartbeatInterval: 300 })
  const got = []
  await consumer.connect()
  try {
    await consumer.subscribe({ topics: [where], fromBeginning: true })
    await consumer.run({ eachMessage: async ({ partition, message }) => { got.push({ partition, ...message }) } })
    if (seek) consumer.seek({ topic: where, ...seek })
    for (const end = Date.now() + LIMIT - 15_000; got.length < n; await pause(10)) {
      expect(Date.now() < end, `read ${got.length} of ${n} records`)
    }
    expect(got.length === n, `read ${got.length} records, want ${n}`)
    return got
  } finally {
    await consumer.disconnect()
  }
}

const same = (got, want) => (got === null || want === null) ? got === want : Buffer.compare(got, want) === 0

// A small generator of noise, the same at every run.
function noise (seed, size) {
  const bytes = Buffer.alloc(size)
  for (let i = 0; i < size; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    bytes[i] = seed >>> 24
  }
  return bytes
}

// --- records

async function roundTrip (which) {
  const where = await topic(which)
  const sent = Array.from({ length: 500 }, (_, i) => ({
    key: Buffer.from('key-' + i % 17), partition: 0,
    value: i % 2 === 0 ? noise(i + 1, (i * 37) % 4096) : Buffer.from(`line ${i} of a log that repeats itself\n`.repeat(i % 128)),
  }))
  for (let i = 0; i < sent.length; i += 100) await send(where, sent.slice(i, i + 100), { compression: codecs[which] })
  const got = await read(where, sent.length)
  got.forEach((message, i) => {
    expect(same(message.key, sent[i].key) && Number(message.offset) === i, `record ${i}: key ${message.key}, offset ${message.offset}`)
    expect(same(message.value, sent[i].value), `value ${i} differs from what was sent`)
  })
}

async function foreign () {
  const got = await read(FOREIGN, 500, { group: name('foreign') })
  got.forEach((message, i) => {
    expect(same(message.key, i % 10 === 0 ? null : Buffer.from('key-' + i % 7)), `record ${i}: key ${message.key}`)
    expect(same(message.value, Buffer.from(`record-${String(i).padStart(6, '0')}-` + 'abcdefghij'.repeat(i % 50))), `value ${i} differs`)
    expect(String(message.headers.number) === String(i), `record ${i}: headers ${message.headers}`)
    expect(Number(message.timestamp) === FOREIGN_BASE + i * 1000, `record ${i}: timestamp ${message.timestamp}`)
  })
}

async function records () {
  const where = await topic('records')
  const headers = { a: ['1', '2'], b: 'x' }
  const sent = [
    { key: null, value: Buffer.from('no key') }, { key: Buffer.from('no value'), value: null },
    { key: Buffer.alloc(0), value: Buffer.alloc(0) }, { key: null, value: null },
  ].map(record => ({ ...record, partition: 0, timestamp: String(BASE + 123), headers }))
  await send(where, sent)
  const got = await read(where, sent.length)
  got.forEach((message, i) => {
    expect(same(message.key, sent[i].key) && same(message.value, sent[i].value), `got ${message.key}=${message.value}, want ${sent[i].key}=${sent[i].value}`)
    expect(String(message.headers.a) === '1,2' && String(message.headers.b) === 'x', `headers ${JSON.stringify(message.headers)}`)
    expect(Number(message.timestamp) === BASE + 123, `timestamp ${message.timestamp}`)
  })
}

async function large () {
  const where = await topic('large')
  const big = noise(3, 900_000)
  await send(where, [{ value: big }])
  await refused('MESSAGE_TOO_LARGE', 'send 2,000,000 bytes', send(where, [{ value: noise(4, 2_000_000) }]))
  expect(same((await read(where, 1))[0].value, big), 'the value differs')
}

async function acks () {
  const where = await topic('acks')
  for (const [i, level] of [0, 1, -1].entries()) {
    await send(where, numbered(0, 0, 100), { acks: level })
    await read(where, 100 * (i + 1), { group: name('acks-' + i) })
  }
}

async function autocreate () {
  const where = name('autocreate')
  await send(where, numbered(0, 0, 10), { producer: { allowAutoTopicCreation: true } })
  await read(where, 10)
}

// drops: every acknowledged record is there once and in order, although answers were lost on the way.
async function drops () {
  const partitions = 3
  const each = 4000
  const where = await topic('drops', partitions, DROPS)
  const producer = kafka(DROPS).producer({ idempotent: true, createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  const filling = ' ' + 'x'.repeat(240)
  for (let first = 0; first < each; first += 20) {
    const messages = []
    for (let i = first; i < first + 20; i++) {
      for (let partition = 0; partition < partitions; partition++) messages.push({ partition, value: i + filling })
    }
    await producer.send({ topic: where, messages })
  }
  await producer.disconnect()
  const due = Array(partitions).fill(0)
  for (const message of await read(where, partitions * each, { broker: DROPS })) {
    const number = Number(String(message.value).split(' ')[0])
    expect(number === due[message.partition], `partition ${message.partition}: record ${number} where ${due[message.partition]} is due`)
    due[message.partition]++
  }
}

// --- consume

async function reset () {
  const where = await topic('reset')
  await send(where, numbered(0, 0, 20))
  const got = await read(where, 20, { seek: { partition: 0, offset: '5000' } })
  expect(got[0].offset === '0', `began at offset ${got[0].offset}`)
}

async function byTime () {
  const where = await topic('time')
  const sent = numbered(0, 0, 100).map((message, i) => ({ ...message, timestamp: String(BASE + i * 1000) }))
  for (let i = 0; i < 100; i += 25) await send(where, sent.slice(i, i + 25))
  const found = await withAdmin(async admin => {
    for (const [at, want] of [[0, 0], [1, 1], [9_999, 10], [10_000, 10], [10_001, 11], [24_500, 25], [99_000, 99], [99_001, 100], [-5000, 0]]) {
      const [found] = await admin.fetchTopicOffsetsByTimestamp(where, BASE + at)
      expect(Number(found.offset) === want, `at ${at} ms: offset ${found.offset}, want ${want}`)
    }
    return admin.fetchTopicOffsetsByTimestamp(where, BASE + 59_500)
  })
  const got = await read(where, 40, { seek: { partition: 0, offset: found[0].offset } })
  expect(String(got[0].value) === '60', `began with record ${got[0].value}`)
}

async function pauseAndResume () {
  const where = await topic('pause', 2)
  const consumer = kafka().consumer({ groupId: name('pause'), maxWaitTimeInMs: 100 })
  const got = [0, 0]
  await consumer.connect()
  try {
    await consumer.subscribe({ topics: [where], fromBeginning: true })
    await consumer.run({ eachMessage: async ({ partition }) => { got[partition]++ } })
    consumer.pause([{ topic: where, partitions: [0] }])
    await send(where, [...numbered(0, 0, 50), ...numbered(1, 0, 50)])
    for (const end = Date.now() + 20_000; got[1] < 50 && Date.now() < end;) await pause(20)
    await pause(300)
    expect(got[1] === 50 && got[0] === 0, `while partition 0 was paused: ${got}`)
    consumer.resume([{ topic: where, partitions: [0] }])
    for (const end = Date.now() + 20_000; got[0] < 50 && Date.now() < end;) await pause(20)
    expect(got[0] === 50, `after it was resumed: ${got}`)
  } finally {
    await consumer.disconnect()
  }
}

async function commit () {
  const where = await topic('commit')
  await send(where, numbered(0, 0, 100))
  await withAdmin(async admin => {
    await admin.setOffsets({ groupId: name('commit'), topic: where, partitions: [{ partition: 0, offset: '40' }] })
    const [kept] = await admin.fetchOffsets({ groupId: name('commit'), topics: [where] })
    expect(kept.partitions[0].offset === '40', `committed ${JSON.stringify(kept)}`)
  })
  for (const [first, count] of [[40, 60], [100, 30]]) {
    if (first === 100) await send(where, numbered(0, 100, 30))
    const got = await read(where, count, { group: name('commit') })
    expect(String(got[0].value) === String(first), `went on with ${got[0].value}, want ${first}`)
  }
}

async function pattern () {
  await send(await topic('pattern-1'), numbered(0, 0, 10))
  await send(await topic('pattern-2'), numbered(0, 0, 10))
  const consumer = kafka().consumer({ groupId: name('pattern'), maxWaitTimeInMs: 100 })
  const got = []
  await consumer.connect()
  try {
    await consumer.subscribe({ topics: [new RegExp('^' + name('pattern-') + '.*')], fromBeginning: true })
    await consumer.run({ eachMessage: async ({ topic }) => { got.push(topic) } })
    for (const end = Date.now() + 30_000; got.length < 20 && Date.now() < end;) await pause(20)
    expect(got.length === 20 && new Set(got).size === 2, `read ${got.length} records of ${[...new Set(got)]}`)
  } finally {
    await consumer.disconnect()
  }
}

// --- groups

// A Crowd is a group of consumers on six partitions, and what all of them read together.
class Crowd {
  constructor (what, where) {
    Object.assign(this, { topic: where, group: name(what), seen: new Map(), members: new Map() })
  }

  static async of (what) {
    return new Crowd(what, await topic(what, 6))
  }

  async join (clientId) {
    const consumer = kafka(BOOTSTRAP, clientId).consumer({ groupId: this.group, maxWaitTimeInMs: 100, heartbeatInterval: 200, rebalanceTimeout: 10_000 })
    this.members.set(clientId, consumer)
    await consumer.connect()
    await consumer.subscribe({ topics: [this.topic], fromBeginning: true })
    await consumer.run({
      autoCommitThreshold: 1,
      eachMessage: async ({ message }) => { this.seen.set(String(message.value), (this.seen.get(String(message.value)) || 0) + 1) },
    })
  }

  async part (clientId) {
    const consumer = this.members.get(clientId)
    this.members.delete(clientId)
    await consumer.disconnect()
  }

  async end () {
    for (const clientId of [...this.members.keys()]) await this.part(clientId)
  }

  // assigned waits until the group is stable with that many members, each with an even share.
  async assigned (count) {
    let shares
    await withAdmin(async admin => {
      for (const end = Date.now() + 30_000; ; await pause(100)) {
        const { groups: [described] } = await admin.describeGroups([this.group])
        shares = described.members.map(member => member.memberAssignment.length === 0 ? [] : AssignerProtocol.MemberAssignment.decode(member.memberAssignment).assignment[this.topic] || [])
        const owned = new Set(shares.flat())
        if (described.state === 'Stable' && shares.length === count && owned.size === 6 && shares.every(share => share.length === 6 / count)) return
        expect(Date.now() < end, `the group did not settle with ${count} members: ${described.state} ${JSON.stringify(shares)}`)
      }
    })
  }

  async write (first, count) {
    await send(this.topic, Array.from({ length: count }, (_, i) => ({ partition: i % 6, value: String(first + i) })))
  }

  async got (n) {
    for (const end = Date.now() + 30_000; ; await pause(20)) {
      const twice = [...this.seen.values()].filter(times => times > 1).length
      expect(twice === 0, `${twice} of ${this.seen.size} records were read twice`)
      if (this.seen.size === n) return
      expect(Date.now() < end, `the group read ${this.seen.size} of ${n} records`)
    }
  }
}

async function group () {
  const crowd = await Crowd.of('group')
  let written = 0
  for (const [i, member] of ['one', 'two', 'three'].entries()) {
    await crowd.join(member)
    await crowd.assigned(i + 1)
    await crowd.write(written, 300)
    await crowd.got(written += 300)
  }
  await crowd.part('two')
  await crowd.assigned(2)
  await crowd.write(written, 300)
  await crowd.got(written + 300)
  await crowd.end()
}

// --- admin

async function cluster () {
  const described = await withAdmin(admin => admin.describeCluster())
  expect(described.clusterId && described.brokers.length === 1 && described.controller === described.brokers[0].nodeId, JSON.stringify(described))
}

async function topics () {
  const where = name('topics')
  const wanted = { topic: where, numPartitions: 3, replicationFactor: 1, configEntries: [{ name: 'retention.ms', value: '3600000' }] }
  await withAdmin(async admin => {
    await admin.createTopics({ validateOnly: true, waitForLeaders: false, topics: [wanted] })
    expect(await admin.createTopics({ waitForLeaders: true, topics: [wanted] }), 'not created')
    expect(!await admin.createTopics({ topics: [wanted] }), 'created twice')
    for (const [wrong, type] of [
      [{ topic: 'not/a/name', numPartitions: 1, replicationFactor: 1 }, 'INVALID_TOPIC_EXCEPTION'],
      [{ topic: name('zero'), numPartitions: 0, replicationFactor: 1 }, 'INVALID_PARTITIONS'],
      [{ topic: name('three'), numPartitions: 1, replicationFactor: 3 }, 'INVALID_REPLICATION_FACTOR'],
      [{ topic: name('config'), numPartitions: 1, replicationFactor: 1, configEntries: [{ name: 'no.such', value: '1' }] }, 'INVALID_CONFIG'],
    ]) await refused(type, 'create ' + wrong.topic, admin.createTopics({ topics: [wrong] }))
    await eventually(async () => expect((await admin.listTopics()).includes(where), 'not listed'))
    const { topics: [described] } = await admin.fetchTopicMetadata({ topics: [where] })
    expect(described.partitions.length === 3 && described.partitions[0].isr.length === 1, JSON.stringify(described))
    await admin.deleteTopics({ topics: [where] })
    await eventually(async () => expect(!(await admin.listTopics()).includes(where), 'listed after it was deleted'))
  })
}

async function partitions () {
  const where = await topic('partitions', 2)
  await withAdmin(async admin => {
    await admin.createPartitions({ topicPartitions: [{ topic: where, count: 5 }] })
    await refused('INVALID_PARTITIONS', 'to fewer partitions', admin.createPartitions({ topicPartitions: [{ topic: where, count: 3 }] }))
  })
  await send(where, numbered(4, 0, 10))
  await read(where, 10)
}

async function configs () {
  const where = await topic('configs')
  await withAdmin(async admin => {
    const has = (wanted, doing) => eventually(async () => expect(await value() === wanted, `${doing}: ${await value()}`))
    const value = async () => {
      const { resources: [described] } = await admin.describeConfigs({ includeSynonyms: true, resources: [{ type: ConfigResourceTypes.TOPIC, name: where }] })
      return described.configEntries.find(entry => entry.configName === 'retention.ms').configValue
    }
    const replace = configEntries => admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: where, configEntries }] })
    await has('604800000', 'at first')
    await replace([{ name: 'retention.ms', value: '1234567' }])
    await has('1234567', 'set')
    await replace([{ name: 'max.message.bytes', value: '100000' }])
    await has('604800000', 'replaced by another')
    await refused('INVALID_CONFIG', 'a value that is no number', replace([{ name: 'retention.ms', value: 'soon' }]))
  })
}

async function deleteRecords () {
  const where = await topic('delete-records')
  await send(where, numbered(0, 0, 100))
  await withAdmin(async admin => {
    await admin.fetchTopicOffsets(where) // KafkaJS deletes only from topics whose metadata it has met
    await admin.deleteTopicRecords({ topic: where, partitions: [{ partition: 0, offset: '60' }] })
    const [left] = await admin.fetchTopicOffsets(where)
    expect(left.low === '60' && left.high === '100', JSON.stringify(left))
  })
  expect((await read(where, 40))[0].offset === '60', 'the first record is not 60')
}

async function groups () {
  const crowd = await Crowd.of('groups')
  await crowd.write(0, 60)
  await crowd.join('member')
  await crowd.assigned(1)
  await crowd.got(60)
  await withAdmin(async admin => {
    const listed = await admin.listGroups()
    expect(listed.groups.some(one => one.groupId === crowd.group && one.protocolType === 'consumer'), 'not listed')
    const { groups: [described] } = await admin.describeGroups([crowd.group])
    expect(described.protocol === 'RoundRobinAssigner' && described.members.length === 1, JSON.stringify(described))
    expect(described.members[0].clientHost.includes('127.0.0.1'), described.members[0].clientHost)
    await refused('NON_EMPTY_GROUP', 'delete a group with a member', admin.deleteGroups([crowd.group]))
    await crowd.end()
    await admin.deleteGroups([crowd.group])
    await refused('GROUP_ID_NOT_FOUND', 'delete again', admin.deleteGroups([crowd.group]))
  })
}

async function offsets () {
  const where = await topic('offsets')
  await send(where, numbered(0, 0, 100))
  const [found] = await withAdmin(admin => admin.fetchTopicOffsets(where))
  expect(found.low === '0' && found.high === '100', JSON.stringify(found))
}

async function groupOffsets () {
  const where = await topic('group-offsets')
  await send(where, numbered(0, 0, 20))
  await withAdmin(async admin => {
    const groupId = name('group-offsets')
    const at = async () => (await admin.fetchOffsets({ groupId, topics: [where] }))[0].partitions[0].offset
    await admin.setOffsets({ groupId, topic: where, partitions: [{ partition: 0, offset: '11' }] })
    expect(await at() === '11', `set to 11, is ${await at()}`)
    await admin.resetOffsets({ groupId, topic: where, earliest: true })
    expect(await admin.fetchOffsets({ groupId, topics: [where], resolveOffsets: true }).then(found => found[0].partitions[0].offset) === '0', 'not reset to the start')
  })
}

// --- transactions

// isolated reads n values of a topic, committed ones or all.
async function isolated (where, n, readUncommitted) {
  const consumer = kafka().consumer({ groupId: name('isolated-' + where + readUncommitted), maxWaitTimeInMs: 100, heartbeatInterval: 300, readUncommitted })
  const got = []
  await consumer.connect()
  try {
    await consumer.subscribe({ topics: [where], fromBeginning: true })
    await consumer.run({ eachMessage: async ({ message }) => { got.push(String(message.value)) } })
    for (const end = Date.now() + LIMIT - 15_000; got.length < n; await pause(10)) {
      expect(Date.now() < end, `read ${got.length} of ${n} records`)
    }
    return got
  } finally {
    await consumer.disconnect()
  }
}

async function transactions () {
  const where = await topic('transactions')
  const producer = kafka().producer({ createPartitioner: Partitioners.DefaultPartitioner, transactionalId: name('transactions'), maxInFlightRequests: 1, idempotent: true })
  await producer.connect()
  try {
    for (let i = 0; i < 10; i++) {
      const transaction = await producer.transaction()
      await transaction.send({ topic: where, messages: Array.from({ length: 5 }, (_, j) => ({ partition: 0, value: `${i}-${j}` })) })
      if (i % 2 === 0) await transaction.commit()
      else await transaction.abort()
    }
  } finally {
    await producer.disconnect()
  }
  expect((await isolated(where, 50, true)).length === 50, 'uncommitted')
  const committed = await isolated(where, 25, false)
  expect(committed.length === 25 && committed.every(value => Number(value[0]) % 2 === 0), `committed are ${committed}`)
}

async function transform () {
  const from = await topic('transform-in')
  const to = await topic('transform-out')
  await send(from, numbered(0, 0, 50))
  const producer = kafka().producer({ createPartitioner: Partitioners.DefaultPartitioner, transactionalId: name('transform'), maxInFlightRequests: 1, idempotent: true })
  const consumerGroupId = name('transform')
  await producer.connect()
  try {
    for (const commit of [false, true]) {
      const transaction = await producer.transaction()
      await transaction.send({ topic: to, messages: numbered(0, 0, 50) })
      await transaction.sendOffsets({ consumerGroupId, topics: [{ topic: from, partitions: [{ partition: 0, offset: commit ? '50' : '7' }] }] })
      if (commit) await transaction.commit()
      else await transaction.abort()
    }
  } finally {
    await producer.disconnect()
  }
  expect((await isolated(to, 50, false)).length === 50, 'committed')
  await eventually(() => withAdmin(async admin => {
    const at = (await admin.fetchOffsets({ groupId: consumerGroupId, topics: [from] }))[0].partitions[0].offset
    expect(at === '50', `offset ${at}, want 50`)
  }))
}

// acls: a rule that denies, made, described and deleted; a producer is denied and allowed again while it is connected.
// Brokers of this suite allow everybody what no rule is about.
async function acls () {
  const where = await topic('acls')
  const producer = kafka().producer({ createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  const produce = () => producer.send({ topic: where, messages: [{ value: 'x', partition: 0 }] })
  const about = { resourceType: AclResourceTypes.TOPIC, resourceName: where, resourcePatternType: ResourcePatternTypes.LITERAL }
  const rule = { ...about, principal: 'User:ANONYMOUS', host: '*', operation: AclOperationTypes.WRITE, permissionType: AclPermissionTypes.DENY }
  const all = { ...about, operation: AclOperationTypes.ANY, permissionType: AclPermissionTypes.ANY }
  try {
    await produce()
    await withAdmin(async admin => {
      await admin.createAcls({ acl: [rule] })
      await eventually(() => refused('TOPIC_AUTHORIZATION_FAILED', 'produce with a rule', produce()))
      const { resources } = await admin.describeAcls(all)
      expect(resources.length === 1 && resources[0].resourceName === where && resources[0].acls.length === 1 && resources[0].acls[0].permissionType === AclPermissionTypes.DENY, 'described ' + JSON.stringify(resources))
      const { filterResponses: [gone] } = await admin.deleteAcls({ filters: [all] })
      expect(gone.matchingAcls.length === 1 && gone.matchingAcls[0].principal === 'User:ANONYMOUS', 'deleted ' + JSON.stringify(gone))
    })
    await eventually(produce)
  } finally {
    await producer.disconnect()
  }
}

// --- report

async function check (what, run) {
  if (!ONLY.test(what)) return
  report(what, 'start')
  const begin = Date.now()
  let timer
  const late = new Promise((resolve, reject) => { timer = setTimeout(() => reject(new Error(`no end within ${LIMIT + 5000} ms`)), LIMIT + 5000) })
  let wrong = ''
  try {
    await Promise.race([run(), late])
  } catch (e) {
    wrong = String((e && e.stack) || e).split('\n').slice(0, 3).join(' ')
  }
  clearTimeout(timer)
  report(what, wrong ? 'fail' : 'pass', (Date.now() - begin) / 1000, wrong)
}

function report (check, result, seconds = 0, detail = '') {
  process.stdout.write(JSON.stringify({ check, result, seconds, detail }) + '\n')
}

async function main () {
  for (const which of Object.keys(codecs)) await check(which, () => roundTrip(which))
  for (const [what, run] of Object.entries({
    cluster, foreign, records, large, acks, autocreate, reset, time: byTime, pause: pauseAndResume, group, pattern, commit,
    topics, partitions, configs, 'delete-records': deleteRecords, groups, offsets, 'group-offsets': groupOffsets, drops,
    transactions, transform, acls,
  })) await check(what, run)
}

main().then(() => process.exit(0), e => {
  console.error(e)
  process.exit(1)
})
