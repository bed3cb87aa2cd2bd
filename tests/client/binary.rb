# SPDX-License-Identifier: BSD-3-Clause
# Dalli 3, whose protocol is the binary one unless told otherwise. Arguments: host:port [user password].
require "dalli"

def check(what, good)
  abort "failed: #{what}" unless good
end

options = { protocol: :binary }
options.merge!(username: ARGV[1], password: ARGV[2]) if ARGV.size > 1
c = Dalli::Client.new(ARGV[0], options)
check "set", c.set("dalli", "value")
check "get", c.get("dalli") == "value"
check "get of none", c.get("none").nil?
check "add", !c.add("dalli", "x") && c.add("dalli:2", [1, 2])
c.replace("none", "x")
check "replace", c.get("none").nil? && c.replace("dalli:2", { "a" => 1 })
check "get_multi", c.get_multi("dalli", "none", "dalli:2") == { "dalli" => "value", "dalli:2" => { "a" => 1 } }
check "append", c.set("raw", "b", 0, raw: true) && c.append("raw", "c") && c.prepend("raw", "a")
check "raw", c.get("raw", raw: true) == "abc"
check "incr", c.incr("counter", 1, 0, 41) == 41 && c.incr("counter") == 42 && c.decr("counter", 2) == 40
check "incr of none", c.incr("none").nil?
check "cas", c.cas("dalli") { |v| v + "!" } && c.get("dalli") == "value!"
check "touch", c.touch("dalli", 100) && !c.touch("none", 100)
check "gat", c.gat("dalli", 200) == "value!"
check "multi (quiet)", c.multi { 100.times { |i| c.set("m:#{i}", i) } } || true
check "many", c.get_multi((0...100).map { |i| "m:#{i}" }).size == 100
big = "x" * 900_000
check "large", c.set("big", big, 0, raw: true) && c.get("big", raw: true) == big
begin
  c.set("big", "x" * 3_000_000, 0, raw: true)
rescue Dalli::ValueOverMaxSize, Dalli::DalliError
  nil
end
check "delete", c.delete("dalli") && !c.delete("dalli")
check "tags", c.set("song|#|t=artist:42", "x") && c.get("song") == "x" && c.delete("any|#|p=artist:42") && c.get("song").nil?
check "stats", c.stats.values.first["curr_items"].to_i > 0
check "version", c.version.values.first =~ /\A\d+\.\d+\.\d+\z/
check "flush", c.flush_all && c.get("raw").nil?
c.close
