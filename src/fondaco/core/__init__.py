"""What every module leans on: money, clock, ids, machines, problems, lists, the database, web glue."""
