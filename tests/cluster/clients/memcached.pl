# SPDX-License-Identifier: BSD-3-Clause
# Cache::Memcached, or Cache::Memcached::Fast with its own ketama, through the servers on these ports:
# memcached.pl MODULE PORT...
use strict;
use warnings;

my $module = shift;
eval "require $module" or die $@;
my %more = $module =~ /Fast/ ? (ketama_points => 150) : ();
my $m = $module->new({servers => [map { "127.0.0.1:$_" } @ARGV], %more});
sub check { my ($what, $good) = @_; die "$what is wrong\n" unless $good; }

for my $i (0 .. 299) { check("set", $m->set("perl$i", "value $i")); }
for my $i (0 .. 299) { check("get", $m->get("perl$i") eq "value $i"); }
my $got = $m->get_multi(map { "perl$_" } 0 .. 299);
check("get_multi", keys %$got == 300 && !grep { $got->{"perl$_"} ne "value $_" } 0 .. 299);
check("add", !$m->add("perl1", "x") && $m->add("perl-new", "x"));
check("replace", $m->replace("perl1", "y") && $m->get("perl1") eq "y");
check("number", $m->set("perl-n", 41) && $m->incr("perl-n") == 42 && $m->decr("perl-n", 2) == 40);
check("delete", $m->delete("perl1") && !defined $m->get("perl1"));
check("large", $m->set("perl-large", "x" x 500_000) && length($m->get("perl-large")) == 500_000);
print "ok\n";
