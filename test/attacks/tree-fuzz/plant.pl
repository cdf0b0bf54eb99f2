# Builds a hostile tree in the working folder, as a process of an agent could: see hostile-trees.ts.
# Reads words that each end with NUL: the name of a step and its arguments, whose number is in STEPS. A step that fails
# is skipped. Prints `planted`; races continue until the process is killed.
use strict;
use warnings;
no warnings qw(recursion once);
use Fcntl qw(O_WRONLY O_CREAT O_NOFOLLOW O_NONBLOCK O_RDWR S_ISDIR);
use POSIX qw(mkfifo);
use Socket;

my ($RENAMEAT2, $SETXATTR) = map { $_ + 0 } @ARGV[0, 1];
my ($AT_FDCWD, $RENAME_EXCHANGE) = (-100, 2);
my @racers;
my $harness = getppid();

sub put {
    my ($name, $content) = @_;
    sysopen(my $file, $name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0644) or return;
    truncate($file, 0);
    syswrite($file, $content);
    close($file);
}

sub exchange {
    my ($one, $other) = @_;
    syscall($RENAMEAT2, $AT_FDCWD, $one, $AT_FDCWD, $other, $RENAME_EXCHANGE);
}

my %RACES = (
    # Another content and length each time.
    write => sub { my ($name) = @_; put($name, chr(65 + int(rand(26))) x int(rand(100_000))) },
    # Two names are exchanged atomically.
    swap => sub { my ($one, $other) = @_; exchange($one, $other) },
    # A name is a file, a folder, a link and a pipe in turn.
    retype => sub {
        my ($name, $target) = @_;
        put($name, 'file'); unlink($name);
        mkdir($name) and put("$name/inside", 'x'); unlink("$name/inside"); rmdir($name);
        symlink($target, $name); unlink($name);
        mkfifo($name, 0644); unlink($name);
    },
    churn => sub {
        my ($name) = @_;
        mkdir($name);
        put("$name/$_", 'x') for 1 .. 50;
        unlink("$name/$_") for 1 .. 50;
    },
    remode => sub { my ($name) = @_; chmod($_, $name) for 0000, 0755, 0200, 04777, 0700 },
    move => sub { my ($name, $other) = @_; rename($name, $other); rename($other, $name) },
);

my %STEPS = (
    enter => [1, sub { mkdir($_[0]); chdir($_[0]) }],
    leave => [0, sub { chdir('..') }],
    # Creates nested folders of this name and enters the deepest.
    descend => [2, sub { my ($name, $depth) = @_; for (1 .. $depth) { mkdir($name); chdir($name) or last } }],
    ascend => [1, sub { chdir('..') for 1 .. $_[0] }],
    file => [2, \&put],
    repeat => [3, sub { my ($name, $text, $times) = @_; put($name, $text x $times) }],
    sparse => [2, sub { my ($name, $size) = @_; put($name, ''); truncate($name, $size) }],
    files => [2, sub { my ($prefix, $count) = @_; put("$prefix$_", '') for 1 .. $count }],
    fifo => [1, sub { mkfifo($_[0], 0644) }],
    socket => [1, sub {
        socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or return;
        bind($socket, pack_sockaddr_un($_[0]));
    }],
    symlink => [2, sub { my ($name, $target) = @_; symlink($target, $name) }],
    link => [2, sub { my ($name, $target) = @_; link($target, $name) }],
    chmod => [2, sub { my ($name, $mode) = @_; chmod(oct($mode), $name) }],
    xattr => [2, sub { my ($name, $value) = @_; syscall($SETXATTR, $name, 'user.fuzz', $value, length($value), 0) }],
    # Deletes or renames the path.
    away => [1, sub { my ($name) = @_; unlink($name) or rename($name, "moved-$$-" . int(rand(1e9))) }],
    race => [3, sub { my ($race, @names) = @_; push(@racers, [$race, @names]) }],
);

binmode(STDIN);
my @words = do { local $/; split(/\0/, <STDIN>, -1) };
pop(@words);
while (defined(my $step = shift(@words))) {
    my ($arity, $work) = @{ $STEPS{$step} or die("no step $step\n") };
    eval { $work->(splice(@words, 0, $arity)) };
}

my $parent = $$;
for my $racer (@racers) {
    next if fork();
    my ($race, @names) = @$racer;
    # Pauses, so that other processes run on a machine with few cores.
    while (getppid() == $parent) { $RACES{$race}->(@names) for 1 .. 5; select(undef, undef, undef, 0.002) }
    exit(0);
}
$| = 1;
print("planted\n");
sleep(1) while @racers && getppid() == $harness;
