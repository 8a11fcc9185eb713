// SPDX-License-Identifier: BSD-2-Clause
//
// unwind - fires under four frames that no compiler can merge, for those who look at its stack from outside, and throws
// and unwinds itself.
//
// Commands come on stdin, each is answered by one line of JSON on stdout:
//
//   fire MS      fires for so long; the answer says how many events that were. 0: until there is another line
//   throw TIMES  an event, then an exception through frames with destructors, caught in main()
//   profile MS   fires for so long while a timer's signal handler unwinds its own stack
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string>

#include <poll.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#define PROBEMETER_SCOPE "Unwind"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(unwind_count, "unwind.count", "{event}", "Events by what comes behind them", "then")
PROBEMETER_HISTOGRAM(unwind_time, "unwind.time", "s", "Recorded amid floating point", "then")

#define FRAME extern "C" __attribute__((noinline)) double

static volatile int throw_now;
static unsigned long fired, alive;

struct counted {
	counted()
	{
		alive++;
	}
	~counted()
	{
		alive--;
	}
};

FRAME unwind_inner(double x)
{
	const char *then = throw_now ? "throw" : "return";

	PROBEMETER_ADD(unwind_count, 1, then);
	PROBEMETER_RECORD(unwind_time, x, then);
	fired++;
	if (throw_now)
		throw std::runtime_error(std::string(100, 'x'));
	__asm__ volatile("");
	return x + 1;
}

FRAME unwind_middle(double x)
{
	counted here;

	x = unwind_inner(x) + 1;
	__asm__ volatile("");
	return x;
}

FRAME unwind_outer(double x)
{
	counted here;

	x = unwind_middle(x) + 1;
	__asm__ volatile("");
	return x;
}

static long milliseconds()
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// What the handler saw: how often, and where it was when there was no way to main.
static constexpr unsigned long max_lost = 65536;
static volatile unsigned long samples, lost_count;
static uintptr_t lost[max_lost], main_start;

static _Unwind_Reason_Code step(_Unwind_Context *context, void *argument)
{
	if (_Unwind_GetRegionStart(context) != main_start)
		return _URC_NO_REASON;
	*static_cast<bool *>(argument) = true;
	return _URC_END_OF_STACK;
}

// The first frame is that of who asks: main().
static _Unwind_Reason_Code first(_Unwind_Context *context, void *)
{
	main_start = _Unwind_GetRegionStart(context);
	return _URC_END_OF_STACK;
}

static void on_timer(int, siginfo_t *, void *context)
{
	const auto &registers = static_cast<ucontext_t *>(context)->uc_mcontext;
	bool reached = false;

	_Unwind_Backtrace(step, &reached);
	samples = samples + 1;
	if (!reached && lost_count < max_lost) {
#ifdef __x86_64__
		lost[lost_count] = static_cast<uintptr_t>(registers.gregs[REG_RIP]);
#else
		lost[lost_count] = static_cast<uintptr_t>(registers.pc);
#endif
		lost_count = lost_count + 1;
	}
}

// How many of the lost were in the page that the kernel maps for its fast probes.
static unsigned long in_trampoline()
{
	unsigned long start, end, count = 0;
	char line[512];

	FILE *maps = std::fopen("/proc/self/maps", "r");
	while (maps && std::fgets(line, sizeof(line), maps))
		if (std::strstr(line, "uprobes-trampoline") && std::sscanf(line, "%lx-%lx", &start, &end) == 2)
			for (unsigned long i = 0; i < lost_count; i++)
				count += lost[i] >= start && lost[i] < end;
	if (maps)
		std::fclose(maps);
	return count;
}

// In main()'s own frame, so that it is main that a stack reaches.
int main()
{
	char line[128], verb[16];
	struct pollfd input = { STDIN_FILENO, POLLIN, 0 };
	unsigned long before, caught = 0;
	double x = 0;
	long argument, end;

	_Unwind_Backtrace(first, nullptr);
	std::printf("{\"ready\": %d}\n", getpid());
	std::fflush(stdout);
	while (std::fgets(line, sizeof(line), stdin)) {
		if (std::sscanf(line, "%15s %ld", verb, &argument) != 2)
			continue;
		before = fired;
		throw_now = !std::strcmp(verb, "throw");
		if (throw_now) {
			for (caught = 0; argument > 0; argument--) {
				try {
					x += unwind_outer(0.5);
				} catch (const std::runtime_error &error) {
					caught += std::strlen(error.what()) == 100 && !alive;
				}
			}
		} else {
			struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = {};
			struct sigaction action = {};

			samples = lost_count = 0;
			action.sa_sigaction = on_timer;
			action.sa_flags = SA_RESTART | SA_SIGINFO;
			sigaction(SIGPROF, &action, nullptr);
			if (!std::strcmp(verb, "profile"))
				setitimer(ITIMER_PROF, &often, nullptr);
			for (end = milliseconds() + argument; argument ? milliseconds() < end : !poll(&input, 1, 0);)
				for (int i = 0; i < 100; i++)
					x += unwind_outer(0.5) == 3.5 ? 0 : 1; // 0.5, and one for each frame
			setitimer(ITIMER_PROF, &never, nullptr);
		}
		auto trampoline = in_trampoline();
		std::printf("{\"fired\": %lu, \"caught\": %lu, \"alive\": %lu, \"wrong\": %g, \"samples\": %lu, "
			    "\"in_trampoline\": %lu, \"lost\": %lu}\n",
			    fired - before, caught, alive, x, samples, trampoline, lost_count - trampoline);
		std::fflush(stdout);
	}
	return 0;
}
