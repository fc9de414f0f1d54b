import type { Mutant } from "./Mutant.ts"

const outboxTest = "runtime/outbox/Outbox.test.ts"
const kafkaTest = "runtime/events/kafka/KafkaEventBus.whole.test.ts"
const embeddedTest = "runtime/events/embedded/EmbeddedEventBus.test.ts"

const relaying: ReadonlyArray<Mutant> = [
  {
    name: "the relay deletes before the acknowledgement",
    file: "runtime/outbox/relay.ts",
    find: `        yield* send(rows)
        if (rows.length >= linger.from) yield* Effect.sleep(linger.millis)
        rows = yield* read([...sent, ...rows], [])`,
    replace: `        const next = yield* read([...sent, ...rows], [])
        yield* send(rows)
        rows = next`,
    breaks: "Events are lost when a send fails.",
    test: outboxTest,
    fails: "Outbox (embedded) > loses nothing and keeps the order when a bus",
  },
  {
    name: "the relay reads what is in flight again",
    file: "runtime/outbox/relay.ts",
    find: "[...ids(sent), ...ids(flying)]",
    replace: "ids(sent)",
    breaks: "A backlog is sent twice.",
    test: outboxTest,
    fails:
      "Outbox (embedded) > drains a backlog in order and without copies, over several turns, with one send under way",
  },
  {
    name: "the relay deletes by seq alone",
    file: "runtime/outbox/relay.ts",
    find: " and event_id = any(${ids(sent)}::text[])",
    replace: "",
    breaks: "In a database that is restored during a send, an event that has the seq of another is lost.",
    test: outboxTest,
    fails:
      "Outbox (embedded) > leaves an event that took the place of one that was being sent, as in a restored database, and relays it",
  },
  {
    name: "the relay reads the newest first",
    file: "runtime/outbox/relay.ts",
    find: "order by seq limit ${limit}",
    replace: "order by seq desc limit ${limit}",
    breaks: "Events of an aggregate leave out of order.",
    test: outboxTest,
    fails: "Outbox (embedded) > lets the events of one aggregate leave in the order of the commits",
  },
  {
    name: "the relay's last rows stay in the outbox",
    file: "runtime/outbox/relay.ts",
    find: "if (sent.length > 0) yield* read(sent, [])",
    replace: "",
    breaks: "Events are sent again after each backlog.",
    test: outboxTest,
    fails:
      "Outbox (embedded) > drains a backlog in order and without copies, over several turns, with one send under way",
  },
  {
    name: "events of a statement are written in another order",
    file: "runtime/outbox/outboxTable.ts",
    find: "order by r.n`",
    replace: "order by r.n desc`",
    breaks: "Events of an aggregate leave out of order.",
    test: outboxTest,
    fails: "Outbox (embedded) > keeps the order that a statement gives its rows",
  },
  {
    name: "an event is appended outside of a transaction",
    file: "runtime/outbox/outboxTable.ts",
    find: "if (Option.isNone(yield* Effect.serviceOption(sql.transactionService)))",
    replace: "if (facts.length < 0)",
    breaks: "An event without its state.",
    test: outboxTest,
    fails: "Outbox (embedded) > dies of an event that is appended outside of a transaction, and writes nothing",
  },
  {
    name: "the relay is woken before the commit",
    file: "runtime/outbox/outboxTable.ts",
    find: "yield* sql.afterCommit(wake)",
    replace: "yield* wake",
    breaks: "The relay looks too early, and the event waits for its poll.",
    test: outboxTest,
    fails: "Outbox (embedded) > wakes the relay once the transaction has committed, and not when it is rolled back",
  },
  {
    name: "an event that the module does not publish is written",
    file: "runtime/outbox/outboxTable.ts",
    find: "publishes.includes(event)\n",
    replace: "publishes !== undefined\n",
    breaks: "Its topic does not exist, and the outbox stands behind it.",
    test: outboxTest,
    fails: "Outbox (embedded) > dies of an event that the module does not publish, and writes nothing",
  },
]

const logs: ReadonlyArray<Mutant> = [
  {
    name: "a send is acknowledged by the leader alone",
    file: "runtime/events/kafka/sender.ts",
    find: "acks: -1",
    replace: "acks: 1",
    breaks: "Events are lost when a leader fails.",
    test: "runtime/events/kafka/sent.test.ts",
    fails: "What is sent to Kafka > waits for all replicas, one request at a time however many send",
  },
  {
    name: "several requests are in flight",
    file: "runtime/events/kafka/KafkaEventBus.ts",
    find: "maxInFlightRequests: 1",
    replace: "maxInFlightRequests: 5",
    breaks: "Events leave out of order when one of them is repeated.",
    test: "runtime/events/kafka/sent.test.ts",
    fails: "What is sent to Kafka > waits for all replicas, one request at a time however many send",
  },
  {
    name: "a log that ends before the position is not noticed",
    file: "runtime/events/kafka/batch.ts",
    find: `    if (Number(batch.highWatermark) < at) return "beyond"\n`,
    replace: "",
    breaks: "The first records of a topic that was deleted and created again are skipped silently.",
    test: "runtime/test/whole/kafka.test.ts",
    fails: "Two modules over Kafka > go on when a topic gets more partitions, or is deleted and made again",
  },
  {
    name: "records of aborted transactions are read",
    file: "runtime/events/kafka/reader.ts",
    find: "batch.messages.map(",
    replace: "batch.rawMessages.map(",
    breaks: "The console shows events that never happened.",
    test: kafkaTest,
    fails: "KafkaEventBus > reads no record of a transaction that was aborted, and reads on behind it",
  },
  {
    name: "no heartbeat late in a batch",
    file: "runtime/events/kafka/batch.ts",
    find: "heart.evicted, heart.callBegins)",
    replace: "heart.evicted, end === begin ? heart.callBegins : undefined)",
    breaks: "A batch that is slow in sum costs the member its seat.",
    test: kafkaTest,
    fails:
      "KafkaEventBus > keeps its partition while the calls for one batch take long in sum, though none of them does",
  },
  {
    name: "the Kafka member goes on after a call that failed",
    file: "runtime/events/kafka/batch.ts",
    find: `        yield* failed(member, payload, exit.cause)
        break`,
    replace: "        yield* failed(member, payload, exit.cause)",
    breaks: "Events are lost.",
    test: kafkaTest,
    fails: "EventBus (kafka) > lets no other partition wait for one whose handle always fails",
  },
  {
    name: "a member does not seek the position of its group",
    file: "runtime/events/kafka/memberPositions.ts",
    find: "seat?.consumer.seek({ topic, partition, offset: String(offset) })",
    replace: "void seat",
    breaks: "The offset that is committed at the broker decides where a member begins.",
    test: kafkaTest,
    fails: "EventBus (kafka) > reads at the positions that a group of",
  },
  {
    name: "a partition that failed rests for ever",
    file: "runtime/events/kafka/pauses.ts",
    find: "      pauseFor(payload, restMillis(times))\n",
    replace: "      payload.pause()\n",
    breaks: "After a fault of the database a partition stands until the process is restarted.",
    test: kafkaTest,
    fails: "EventBus (kafka) > lets no other partition wait for one whose handle always fails",
  },
  {
    name: "the embedded log forgets what a group has still to read",
    file: "runtime/events/embedded/logTable.ts",
    find: `least(e.next, (
        select min(p.next) from position p where p.topic = e.topic and p.part = e.part)) as unread`,
    replace: "e.next as unread",
    breaks: "Events are lost.",
    test: embeddedTest,
    fails: "never forgets what a known group has still to handle",
  },
]

export const ofEvents: ReadonlyArray<Mutant> = [...relaying, ...logs]
