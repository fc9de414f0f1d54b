import { Clock, Effect } from "effect"
import { SqlClient } from "effect/sql"

/** The stock of a new inventory, so that the first order can be placed at once. */
const first = [
  { product_id: "LAPTOP001", product_name: "Gaming Laptop", stock: 50 },
  { product_id: "MOUSE001", product_name: "Wireless Mouse", stock: 200 },
  { product_id: "KEYBOARD001", product_name: "Mechanical Keyboard", stock: 100 },
]

export const createInventory = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // Ids are compared byte by byte on every machine: pages and locks use that order.
  yield* sql`create table products (
    product_id text collate "C" primary key,
    product_name text not null,
    stock bigint not null,
    reserved bigint not null default 0,
    check (0 <= reserved and reserved <= stock)
  )`
  // One row for each order with an event. It has lines once its stock was held or taken.
  yield* sql`create table holds (
    order_id bigint primary key,
    user_id bigint not null,
    status text not null default 'expected' check (status in ('expected', 'held', 'taken', 'rejected', 'released')),
    is_paid boolean not null default false,
    is_dead boolean not null default false,
    created_at timestamptz not null
  )`
  yield* sql`create index open_holds on holds (order_id) where status = 'held'`
  yield* sql`create table hold_lines (
    order_id bigint not null,
    product_id text collate "C" not null,
    quantity bigint not null check (quantity > 0),
    primary key (order_id, product_id)
  )`
  // Every change of a product's stock and reserved units, which are the sums of these changes. The units put in are the
  // sum of stock_change over the kind 'put'; the units that orders took are the negated rest.
  yield* sql`create table ledger (
    pos bigint generated always as identity primary key,
    product_id text collate "C" not null,
    order_id bigint,
    change text not null check (change in ('put', 'held', 'taken', 'released', 'expired')),
    stock_change bigint not null,
    reserved_change bigint not null,
    at timestamptz not null,
    check ((change = 'put') = (order_id is null))
  )`
  yield* sql`create index ledger_of_product on ledger (product_id, pos)`
  yield* sql`create index ledger_of_order on ledger (order_id) where order_id is not null`

  const now = new Date(yield* Clock.currentTimeMillis)
  yield* sql`
    with first as (
      insert into products (product_id, product_name, stock)
      select product_id, product_name, stock from json_to_recordset(${JSON.stringify(first)}::json)
        as x (product_id text, product_name text, stock bigint)
      returning product_id, stock)
    insert into ledger (product_id, change, stock_change, reserved_change, at)
    select product_id, 'put', stock, 0, ${now} from first order by product_id`
})
